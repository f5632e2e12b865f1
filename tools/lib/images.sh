# shellcheck shell=bash
# Where tools/fetch-images keeps what it fetched, for it and for those who use it.

# shellcheck disable=SC2034 # for those who source this
images_dir=${UMBRA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/umbra}/images

# images_path NAME: the folder of one image.
images_path() {
    case $1 in
        memtest) echo "$images_dir/memtest86+" ;;
        *) echo "$images_dir/$1" ;;
    esac
}
