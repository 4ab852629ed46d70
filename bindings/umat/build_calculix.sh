#!/bin/sh
# Build CalculiX 2.20 from Debian's source package, with its `umat` taken from a shared library.
#
#     build_calculix.sh DIR LIB [SOURCE]
#
# DIR     where to build (kept: a second call with another LIB only links); the result is DIR/ccx
# LIB     a shared library that has the Fortran symbol umat_, such as libneml2fe_umat.so
# SOURCE  an unpacked source of CalculiX; else `apt-get source calculix-ccx` fetches it, for which
#         apt must have a deb-src entry (APT_OPTIONS is handed to it, say -o Dir::Etc::sourcelist=FILE)
#
# Needs gcc, gfortran, make and the packages libspooles-dev, libarpack2-dev, liblapack-dev, and
# dpkg-dev for `apt-get source`. MAKEFLAGS is honoured (MAKEFLAGS=-j4).
set -eu

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 DIR LIB [SOURCE]" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(realpath "$1")
library=$(realpath -e "$2")
if ! nm -D --defined-only "$library" | grep -q ' umat_$'; then
    echo "$0: $2 has no symbol umat_" >&2
    exit 2
fi

# The source: its folder src is the one with umat_abaqus.f, which calls `umat` as Abaqus does.
if [ ! -d "$folder/source" ]; then
    rm -rf "$folder/source.partial"
    if [ $# -eq 3 ]; then
        cp -r "$3" "$folder/source.partial"
    else
        mkdir "$folder/source.partial"
        # shellcheck disable=SC2086  # several options in one variable
        (cd "$folder/source.partial" && apt-get ${APT_OPTIONS:-} source calculix-ccx)
    fi
    mv "$folder/source.partial" "$folder/source"
fi
caller=$(find "$folder/source" -name umat_abaqus.f | head -n 1)
if [ -z "$caller" ]; then
    echo "$0: no source of CalculiX in $folder/source" >&2
    exit 2
fi
cd "$(dirname "$caller")"
main=$(basename ccx_*.c .c)

# The flags of Debian's build; warnings of old Fortran are of no use here.
make "$main.o" "$main.a" \
    CFLAGS="-O2 -w -I/usr/include/spooles -DARCH=Linux -DSPOOLES -DARPACK -DMATRIXSTORAGE -DUSE_MT=1" \
    FFLAGS="-O2 -w -fallow-argument-mismatch"

# The example umat of CalculiX goes, ours takes its place.
ar d "$main.a" umat.o
gfortran -o "$folder/ccx" "$main.o" "$main.a" "$library" -Wl,-rpath,"$(dirname "$library")" \
    -lspooles -larpack -llapack -lblas -lpthread -lm -fopenmp
echo "$folder/ccx"
