// etcd, as its own project builds it.
//
// Distributions carry 3.4, which does not answer the progress requests that the API server's watches
// send: everything would work and lag by tens of seconds.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
