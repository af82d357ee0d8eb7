# Shared by the scripts in this folder: what they need on the machine, and where the build goes.
# Sourced, never run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Debian packages to build and run, by what proves that they are there.
build_packages=(libfuse3-dev fuse3 libssl-dev libuv1-dev liburing-dev librocksdb-dev libzstd-dev pkg-config gcc libc6-dev binutils)
# What crash runs need besides.
crash_packages=(python3 fio git sqlite3 nftables iproute2 util-linux procps)
# Programs that the tests run on a mount; and PostgreSQL, see require_postgresql.
software_packages=(git rsync tar attr acl vim-tiny make gcc libc6-dev procmail liblockfile-bin dbench bonnie++ stress-ng fio)

require_root() { [ "$(id -u)" = 0 ] || die "run this as root: it installs packages and mounts"; }

require_swift() {
    if ! command -v swift >/dev/null 2>&1; then
        for place in /opt/swift/usr/bin /opt/swift/bin /usr/share/swift/usr/bin; do
            [ -x "$place/swift" ] && PATH="$place:$PATH" && break
        done
    fi
    command -v swift >/dev/null 2>&1 || die "Swift is not installed. Get Swift 6.2 or newer from https://www.swift.org/install/linux/ and put its usr/bin in PATH."
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case "$version" in
        6.[01] | [0-5].* | "") die "Swift ${version:-of unknown version} is too old: 6.2 or newer is needed (https://www.swift.org/install/linux/)." ;;
    esac
}

# Installs what is missing of the packages named, and nothing else.
require_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing: ${missing[*]}"
    command -v apt-get >/dev/null 2>&1 || die "these packages are needed and apt-get is not there to install them: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "the packages could not be installed"
    fi
    rm -f "$log"
}

# The programs of PostgreSQL, without the cluster and the service that the package makes.
require_postgresql() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return
    require_packages postgresql-common
    local settings=/etc/postgresql-common/createcluster.conf
    cp "$settings" "$settings.before-dhtfs"
    echo 'create_main_cluster = false' >>"$settings"
    local code=0
    (require_packages postgresql) || code=$?
    mv "$settings.before-dhtfs" "$settings"
    return "$code"
}

require_fuse() {
    [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
    [ -e /dev/fuse ] || die "there is no /dev/fuse: load the kernel's fuse module, or give the container the device"
}

# Builds the release executable; prints its path.
# build_release [FOLDER [FLAG…]]    the folder of the build; more flags for it
build_release() {
    say "building (the first time takes a few minutes)"
    build_product dhtfs "$@"
    printf '%s\n' "$root/${1:-.build}/release/dhtfs"
}

build_product() { swift build -c release --product "$1" --scratch-path "${2:-.build}" "${@:3}" 1>&2 || die "the build failed"; }

# As build_release, with the programs that the tests start beside it.
build_tested_release() {
    build_release "$@"
    build_product lossydisk "$@"
    build_product dhtfs-conformance "$@"
}
