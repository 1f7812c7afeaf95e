#!/usr/bin/env bash
# Builds the two base images of this project from Debian packages, for machines that reach a
# Debian mirror but no image registry, and for air-gapped sites (docs/how-to/offline-images.md):
#   debian:trixie-slim   debootstrap's minbase, with the certificates that this host trusts
#   postgres:17-trixie   a stand-in that keeps the part of the official image's contract we use
# What exists already is left alone: where the official images were pulled, this does nothing.
set -euo pipefail

readonly suite=trixie base_image=debian:trixie-slim postgres_image=postgres:17-trixie
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OFFLINE_CACHE:-/var/cache/atlas-offline}
force=no
pip_conf=
wanted=("$base_image" "$postgres_image")

usage() {
    cat <<USAGE
Usage: docker/offline/build.sh [--force] [--pip-conf FILE] [base | postgres]
  base, postgres   build that image only (default: both, where they are missing)
  --force          build anew, the cached Debian tree included
  --pip-conf FILE  put FILE into the images as /etc/pip.conf (a site's own package index)
Environment:
  DEBIAN_MIRROR           archive to install from (default: debootstrap's own)
  DEBIAN_SECURITY_MIRROR  its security archive (default: the archive's address + -security)
  CA_BUNDLE               certificates to trust (default: /etc/ssl/certs/ca-certificates.crt)
  OFFLINE_CACHE           where the Debian tree is kept (default: /var/cache/atlas-offline)
USAGE
}

fail() { printf 'offline images: %s\n' "$1" >&2; exit "${2:-1}"; }
say() { printf 'offline images: %s\n' "$1"; }
have_image() { docker image inspect "$1" >/dev/null 2>&1; }

need_debootstrap() {
    [ "$(uname -s)" = Linux ] || fail "debootstrap needs Linux; build on a Linux host, then move \
the images with docker save and docker load"
    [ "$(id -u)" = 0 ] || fail "run as root: debootstrap makes a Debian tree with its own owners"
    command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null || fail "debootstrap is missing; install it with the system's \
package manager"
    apt-get install -qq -y --no-install-recommends debootstrap >/dev/null ||
        fail "apt-get could not install debootstrap (apt-get update?)"
}

# The same trimming as in the official slim image: no services, no docs, no package caches.
trim_tree() {
    local tree=$1
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 755 "$tree/usr/sbin/policy-rc.d"
    cat >"$tree/etc/dpkg/dpkg.cfg.d/docker" <<'DPKG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
DPKG
    cat >"$tree/etc/apt/apt.conf.d/docker-clean" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Install-Recommends "false";
Acquire::Languages "none";
APT
    rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin \
        "$tree"/var/cache/apt/archives/*.deb "$tree"/var/log/*.log "$tree"/usr/share/man/* \
        "$tree"/usr/share/locale/* "$tree"/etc/hostname "$tree"/etc/resolv.conf
    # Left as they are, these would be the same in every container.
    : >"$tree/etc/machine-id"
}

add_sources() {
    local tree=$1 mirror security
    mirror=$(awk '$1 == "deb" { print $2; exit }' "$tree/etc/apt/sources.list")
    security=${DEBIAN_SECURITY_MIRROR:-${mirror%/}-security}
    # Without the security archive the image would stay at the release's first PostgreSQL 17.
    cat >"$tree/etc/apt/sources.list" <<SOURCES
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
SOURCES
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    chroot "$tree" apt-get update -qq 2>>"$cache/debootstrap.log" || fail "no package lists from $mirror and $security; \
set DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR"
    DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -qq -y dist-upgrade \
        >>"$cache/debootstrap.log" 2>&1 || fail "the update failed, see $cache/debootstrap.log"
}

# Certificates that this host trusts and Debian does not (a company's own authority). As files of
# their own they survive the next update-ca-certificates, which an edited bundle would not.
add_certificates() {
    local tree=$1 bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt} split file number=0
    [ -r "$bundle" ] || fail "no certificate bundle at $bundle; set CA_BUNDLE"
    split=$(mktemp -d)
    awk -v to="$split" '/BEGIN CERT/ { n++ } n { print > sprintf("%s/%04d.crt", to, n) }' "$bundle"
    cat "$tree"/usr/share/ca-certificates/mozilla/*.crt | tr -d '\n' >"$split/known"
    for file in "$split"/*.crt; do
        grep -qF -- "$(tr -d '\n' <"$file")" "$split/known" && continue
        number=$((number + 1))
        cp "$file" "$tree/usr/local/share/ca-certificates/host-$number.crt"
    done
    rm -rf "$split"
    chroot "$tree" update-ca-certificates >/dev/null 2>&1
    say "$number certificates of this host added to Debian's own"
}

make_tree() {
    local tree
    need_debootstrap
    mkdir -p "$cache"
    tree=$(mktemp -d "$cache/tree.XXXXXX")
    # shellcheck disable=SC2064  # the path of now, not of the moment of exit
    trap "rm -rf '$tree'" EXIT
    say "installing a minimal Debian ($suite); the log is $cache/debootstrap.log"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$tree" \
        ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$cache/debootstrap.log" 2>&1 ||
        fail "debootstrap failed, see $cache/debootstrap.log; set DEBIAN_MIRROR to an archive \
that this machine reaches"
    add_sources "$tree"
    add_certificates "$tree"
    trim_tree "$tree"
    # debootstrap made it for its owner alone; a container's root must be enterable by anyone.
    chmod 755 "$tree"
    # Devices come from the engine.
    tar -C "$tree" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
        -cf "$cache/$suite.tar.part" .
    mv "$cache/$suite.tar.part" "$cache/$suite.tar"
}

build_base() {
    local pip_layer
    [ -s "$cache/$suite.tar" ] && [ "$force" = no ] || make_tree
    docker import --change 'CMD ["bash"]' \
        --change 'LABEL org.opencontainers.image.description="minimal Debian 13, built offline"' \
        "$cache/$suite.tar" "$base_image" >/dev/null
    if [ -n "$pip_conf" ]; then
        pip_layer=$(mktemp -d)
        cp "$pip_conf" "$pip_layer/pip.conf"
        printf 'FROM %s\nCOPY --chmod=644 pip.conf /etc/pip.conf\n' "$base_image" |
            DOCKER_BUILDKIT=1 docker build -q -t "$base_image" -f - "$pip_layer" >/dev/null
        rm -rf "$pip_layer"
    fi
    say "built $base_image"
}

build_postgres() {
    DOCKER_BUILDKIT=1 docker build --progress=plain -t "$postgres_image" "$here/postgres" \
        >"$cache/postgres.log" 2>&1 || fail "the build failed, see $cache/postgres.log"
    say "built $postgres_image"
}

while [ $# -gt 0 ]; do
    case $1 in
        --force) force=yes ;;
        --pip-conf) [ -r "${2:-}" ] || fail "--pip-conf needs a readable file" 2; pip_conf=$2; shift ;;
        base) wanted=("$base_image") ;;
        postgres) wanted=("$postgres_image") ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

docker info >/dev/null 2>&1 || fail "no Docker engine answers; start one (.ci/docker-engine does \
on Debian)"
mkdir -p "$cache" 2>/dev/null || fail "cannot write $cache; run as root or set OFFLINE_CACHE"
for image in "${wanted[@]}"; do
    if [ "$force" = no ] && have_image "$image"; then
        say "$image is here already"
    elif [ "$image" = "$base_image" ]; then
        build_base
    else
        build_postgres
    fi
done
