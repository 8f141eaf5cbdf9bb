#!/bin/sh
# Puts what `make build` has made into a prefix: the command, manual pages, completions, examples, and module files that
# name that prefix.
#     sh tools/site/install.sh /opt/rankine [target/release/rankine]
# Then: module use /opt/rankine/modulefiles (Environment Modules), or /opt/rankine/modulefiles-lmod; module load rankine
set -eu
[ $# -ge 1 ] || { echo "install: give a prefix, such as /opt/rankine" >&2; exit 2; }
here=$(dirname "$0")
built=${2:-$here/../../target/release/rankine}
[ -x "$built" ] || { echo "install: $built is not there: build it with make build" >&2; exit 2; }
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
version=$("$built" --version)
version=${version##* }

mkdir -p "$prefix/bin" "$prefix/share/bash-completion/completions" "$prefix/share/zsh/site-functions" \
    "$prefix/share/fish/vendor_completions.d" "$prefix/share/rankine" "$prefix/modulefiles/rankine" \
    "$prefix/modulefiles-lmod/rankine"
# A job that is running keeps the file that it was started from.
cp "$built" "$prefix/bin/.rankine.part"
chmod 755 "$prefix/bin/.rankine.part"
mv -f "$prefix/bin/.rankine.part" "$prefix/bin/rankine"
rankine=$prefix/bin/rankine
"$rankine" man --out "$prefix/share/man/man1"
"$rankine" completions bash >"$prefix/share/bash-completion/completions/rankine"
"$rankine" completions zsh >"$prefix/share/zsh/site-functions/_rankine"
"$rankine" completions fish >"$prefix/share/fish/vendor_completions.d/rankine.fish"
"$rankine" schema >"$prefix/share/rankine/jobfile.schema.json"
rm -rf "$prefix/share/rankine/examples"
cp -r "$here/../../jobs/examples" "$prefix/share/rankine/examples"
sed "s|^set root .*|set root \"$prefix\"|" "$here/rankine.tcl" >"$prefix/modulefiles/rankine/$version"
sed "s|^local root = .*|local root = \"$prefix\"|" "$here/rankine.lua" >"$prefix/modulefiles-lmod/rankine/$version.lua"
echo "rankine $version is in $prefix"
