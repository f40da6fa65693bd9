#!/usr/bin/env bash
# Packs a release for machines that reach no network: all wheels for this Python and this kind of machine, deploy/ and
# docs/, the list of all their hashes, and a signature over the list. `make bundle KEY=FILE` runs it.
#
#     bundle.sh KEY PYTHON [FOLDER]      KEY: openssl genpkey -algorithm ed25519 -out KEY; hospitals get KEY.pub, made
#                                        beside it. FOLDER: where the bundle goes, dist if none is named
#
# Takes torch from where pip is told to: from PyPI that is on x86-64 the build for NVIDIA's GPUs, some 3 GB; the index of its
# build for CPUs, some 200 MB, is on PyTorch's installation page: PIP_INDEX_URL. The name says which one it is.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

refuse() {
    printf '%s\n' "$@" >&2
    exit 2
}

[ $# -ge 2 ] && [ -n "$1" ] || refuse "No key was named to sign the release with" \
    "make bundle KEY=FILE; a new one, kept in a safe: openssl genpkey -algorithm ed25519 -out FILE"
KEY=$1 PYTHON=$2 FOLDER=${3:-dist}
openssl pkey -in "$KEY" -noout -text 2>/dev/null | grep -q '^ED25519 Private' ||
    refuse "$KEY is no Ed25519 key" "openssl genpkey -algorithm ed25519 -out $KEY"
openssl pkey -in "$KEY" -pubout -out "$KEY.pub"

wheel=$(echo dist/gliofed-*.whl)
[ -e "$wheel" ] || refuse "There is not exactly one wheel of GlioFed in dist/" "make wheel"
mkdir -p "$FOLDER"
work=$(mktemp -d "$FOLDER/.bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/wheels"
"$PYTHON" -m pip wheel --quiet --wheel-dir "$work/wheels" --constraint constraints.txt "gliofed[web] @ file://$PWD/$wheel"

# What a machine must have, as lines of NAME=value that install.sh reads.
"$PYTHON" - "$work/wheels" >"$work/release.env" <<'END'
import re, sys, sysconfig, zipfile
from pathlib import Path

(torch,) = Path(sys.argv[1]).glob("torch-*.whl")
(own,) = Path(sys.argv[1]).glob("gliofed-*.whl")
built_for = zipfile.ZipFile(torch).read("torch/version.py").decode()
print("VERSION=" + own.name.split("-")[1])
print("FLAVOR=" + ("cuda" if re.search(r"^cuda.*=\s*'", built_for, re.M) else "cpu"))
print(f"PYTHON={sys.version_info[0]}.{sys.version_info[1]}")
print("PLATFORM=" + sysconfig.get_platform())
END
# shellcheck source=/dev/null
. "$work/release.env"
name=gliofed-$VERSION-$FLAVOR-python$PYTHON-$PLATFORM

cp -r deploy docs LICENSE "$work"
(
    cd "$work"
    find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >../.sums
    mv ../.sums SHA256SUMS
)
openssl pkeyutl -sign -rawin -inkey "$KEY" -in "$work/SHA256SUMS" -out "$work/SHA256SUMS.sig"
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --transform "s,^\.,$name," \
    --file "$FOLDER/$name.tar.partial" --directory "$work" .
mv "$FOLDER/$name.tar.partial" "$FOLDER/$name.tar"
echo "$FOLDER/$name.tar, $(du -h "$FOLDER/$name.tar" | cut -f1), is signed; who installs it needs $KEY.pub, by another way."
