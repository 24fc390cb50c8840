#!/bin/sh
# Installs the servers that the tests run: Postgres, Redis, PgBouncer. Debian, Ubuntu and what is made of them.
#
#   install.sh           as root: by apt-get; no cluster is made, and no daemon is started, now or at boot
#   install.sh FOLDER    as any other user: the packages are unpacked into FOLDER, nothing is installed
#
# Nothing happens for what is there already. Called by .ci/run and, outside CI, by the tests themselves.
set -eu
packages="postgresql redis-server pgbouncer"

command -v apt-get >/dev/null || { echo "there is no apt-get here" >&2; exit 1; }

missing=""
for package in $packages; do
  dpkg-query --show --showformat '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install_as_root() {
  export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
  echo "installing$missing ..."
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\n# Written while the servers for the tests are installed: nothing is started.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  # Before Postgres comes: without this it would make and start a cluster on the port that everybody uses.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  apt-get install -qq --yes --no-install-recommends -o Dpkg::Options::=--force-confold $missing >/dev/null
  if [ -d /run/systemd/system ]; then
    case "$missing" in *redis-server*) systemctl disable --quiet redis-server || true ;; esac
    case "$missing" in *pgbouncer*) systemctl disable --quiet pgbouncer || true ;; esac
  fi
}

# What apt would install, with everything that it needs and that is not there.
needed() {
  # shellcheck disable=SC2086 # a list of words
  apt-get install --simulate --no-install-recommends $missing | awk '$1 == "Inst" {print $2}'
}

unpack_as_user() {
  folder=$1
  part=$folder.part
  echo "unpacking$missing into $folder; nothing is installed ..."
  rm -rf "$part"
  mkdir -p "$part/packages" "$part/root"
  names=$(needed)
  # shellcheck disable=SC2086 # a list of words
  (cd "$part/packages" && apt-get download -qq $names)
  for file in "$part"/packages/*.deb; do
    dpkg-deb --extract "$file" "$part/root"
  done
  rm -rf "$folder"
  mv "$part/root" "$folder"
  rm -rf "$part"
}

if [ "$(id -u)" = 0 ]; then
  install_as_root
else
  unpack_as_user "${1:?a folder to unpack into}"
fi
