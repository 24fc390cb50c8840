"""Servers for tests: private Postgres and Redis servers, and a proxy that loses what it is told to lose.

    fixtures     what a test asks for: `postgres_url`, `redis_url`, `private_postgres`, `servers`
    making       the same for programs: `with Servers(Session.new()) as servers: servers.postgres()`
    shared       one Postgres and one Redis for all workers of a test run, started by the first that asks
    sessions     the folder, the ports and the owner of the servers of one test run
    postgres, redis, clusters, poolers      servers, each with a folder and a port of its own
    kept, keeper the process beside each server that ends it when its owner is gone, however that died
    programs     where the servers' programs are found, or installed from
    proxy        a TCP proxy between a client and a server; `wire` tells requests and replies apart

Law: a server that is missing is a failure that says what to install, never a test left out.
Nothing here is imported by a unit test, and nothing is started before a test asks for it.
"""
