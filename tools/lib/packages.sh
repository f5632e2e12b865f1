# shellcheck shell=bash
# Debian packages that building, testing and checking need, and how they come onto the machine.
# One line each: package  # why. Source common.sh first.
# shellcheck disable=SC2034 # the lists are for those who source this

packages_build='
gcc              # compiler of the monitor, and with -m32 of the guests
libc6-dev        # headers of the C library
cmake            # build system
ninja-build      # runs the build
pkg-config       # finds Criterion
libzydis-dev     # decoder of i386 instructions
libjansson-dev   # JSON of the control socket
liblz4-dev       # compresses swapped pages
libxxhash-dev    # checks their content
libncurses-dev   # the screen of umbra top; the build goes without it too
liburing-dev     # swap I/O without a thread; the build goes without it too
libcriterion-dev # unit tests
libvirt-dev      # domains to run and to compare with; the build goes without it too
libxml2-dev      # reads their definitions
'

packages_test='
seabios          # a BIOS that starts a machine from a disk
grub-pc-bin      # GRUB, which a test puts on a disk
grub-common      # its grub-mkimage
e2fsprogs        # makes the file system of that disk
strace           # tests count system calls
tmux             # a terminal for the tests of umbra top
gdb              # the debugger that tests attach to guests
qemu-system-x86  # another i386 to hold ours against
libvirt-daemon-driver-qemu # QEMU behind libvirt, whose page tables are read
libvirt-clients  # virsh: starts and ends its domains
'

packages_images='
cpio             # packs the initramfs of Linux guests
xz-utils         # unpacks a kernel
zstd             # another one
'

packages_clang='
clang            # second compiler: other warnings, other code
'

packages_lint='
clang-format     # layout
clang-tidy       # static checks
cppcheck         # static checks of another kind
shellcheck       # checks of our scripts
'

packages_hardware_kvm='
qemu-system-x86  # emulates a processor with SVM
cpio             # packs the initramfs
kmod             # says which modules kvm-amd needs
'

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "packages must be installed: run as root, or install sudo"
    fi
}

# packages_names LIST: the names alone.
packages_names() { sed -n 's/^\([a-z0-9][a-z0-9.+-]*\).*/\1/p' <<<"$1"; }

packages_lacking() {
    local name
    for name in $(packages_names "$1"); do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

apt_run() {
    as_root timeout --kill-after=30 900 env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"
}

# packages_need LIST...: install what is missing. Needs neither network nor root when nothing is.
packages_need() {
    local lacking
    command -v dpkg-query >/dev/null || die "this is no Debian system: install by hand what tools/lib/packages.sh lists"
    lacking=$(packages_lacking "$(printf '%s\n' "$@")")
    [ -n "$lacking" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    set -- $lacking
    say "installing $*"
    mkdir -p build/logs
    { apt_run update &&
        apt_run install --no-install-recommends "$@"; } >build/logs/apt.log 2>&1 </dev/null ||
        { tail -n 30 build/logs/apt.log; die "apt-get failed; all of it: build/logs/apt.log"; }
}
