#!/usr/bin/env bash
# Builds the files of this tree twice, in folders of different names and lengths, the second
# time without what the first has cached, and compares the binaries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d -t reproducible.XXXXXX)
trap 'rm -rf "$dir"' EXIT
version=$(git describe --tags --always --dirty)
revision=$(git rev-parse HEAD)

build() { # build FOLDER
  mkdir -p "$1"
  git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$1"
  make -s -C "$1" build VERSION="$version" REVISION="$revision"
  sha256sum <"$1/bin/gateway" | cut -d ' ' -f 1
}

one=$(build "$dir/a")
two=$(GOCACHE="$dir/cache" build "$dir/another/longer/one")
if [[ $one != "$two" ]]; then
  echo "not reproducible: $one and $two"
  exit 1
fi
echo "reproducible: $version is $one"
