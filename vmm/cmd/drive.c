/* See drive.h. */
#include <errno.h>
#include <string.h>

#include "vmm/cmd/drive.h"
#include "vmm/cmd/opts.h"
#include "vmm/value.h"

/* --- the words of -drive --------------------------------------------------------------------- */

/* One NAME=VALUE of a list; ",," in it stands for a comma. *s moves behind it. -EINVAL: too long.
 */
static int next_word(const char **s, char *buf, size_t size)
{
    size_t n = 0;
    const char *p = *s;
    for (; *p && (*p != ',' || p[1] == ','); p++) {
        if (*p == ',')
            p++;
        if (n + 1 >= size)
            return -EINVAL;
        buf[n++] = *p;
    }
    buf[n] = 0;
    *s = *p ? p + 1 : p;
    return 0;
}

struct drive_words {
    struct drive_arg d;
    bool floppy;
    int index; /* -1: the first that is free */
};

static int take_switch(const char *value, bool *out, struct errmsg *err)
{
    static const char *const words[] = {"off", "on", NULL};
    int choice = 0;
    const int rc = value_choice(value, words, &choice, err);
    *out = choice == 1;
    return rc;
}

static int take_file(struct drive_arg *d, const char *file, struct errmsg *err)
{
    if (!*file)
        return err_set(err, -EINVAL, "which file?");
    if (strlen(file) >= sizeof d->file)
        return err_set(err, -EINVAL, "a file name of more than %zu bytes", sizeof d->file - 1);
    memcpy(d->file, file, strlen(file) + 1);
    return 0;
}

static int take_word(struct drive_words *w, const char *name, const char *value, struct errmsg *err)
{
    static const char *const media[] = {"disk", "cdrom", NULL};
    static const char *const formats[] = {"raw", NULL};
    static const char *const interfaces[] = {"ide", "floppy", NULL};
    uint64_t n = 0;
    int choice = 0, rc;

    if (strcmp(name, "file") == 0)
        return take_file(&w->d, value, err);
    if (strcmp(name, "format") == 0) {
        rc = value_choice(value, formats, &choice, err);
        w->d.raw = rc == 0;
        return rc;
    }
    if (strcmp(name, "if") == 0) {
        rc = value_choice(value, interfaces, &choice, err);
        w->floppy = choice == 1;
        return rc;
    }
    if (strcmp(name, "snapshot") == 0)
        return take_switch(value, &w->d.snapshot, err);
    if (strcmp(name, "readonly") == 0)
        return take_switch(value, &w->d.readonly, err);
    if (strcmp(name, "index") == 0) {
        rc = value_u64(value, 0, BOARD_DRIVES - 1, &n, err);
        w->index = (int)n;
        return rc;
    }
    if (strcmp(name, "media") == 0) {
        rc = value_choice(value, media, &choice, err);
        w->d.cd = choice == 1;
        return rc;
    }
    return err_set(err, -EINVAL,
                   "'%.80s' is none of: file, format, if, index, media, readonly, snapshot", name);
}

static int take_words(struct drive_words *w, const char *value, struct errmsg *err)
{
    char word[sizeof w->d.file + 16];
    struct errmsg why = {{0}};

    while (*value) {
        if (next_word(&value, word, sizeof word) < 0)
            return err_set(err, -EINVAL, "a word of more than %zu bytes", sizeof word - 1);
        char *eq = strchr(word, '=');
        if (!eq)
            return err_set(err, -EINVAL, "'%.80s' is no NAME=VALUE", word);
        *eq = 0;
        const int rc = take_word(w, word, eq + 1, &why);
        if (rc < 0)
            return err_set(err, -EINVAL, "%.40s: %.250s", word, why.text);
    }
    return w->d.file[0] ? 0 : err_set(err, -EINVAL, "no file=FILE");
}

/* --- where it goes --------------------------------------------------------------------------- */

static int first_free(const struct drive_arg *place, int n)
{
    for (int i = 0; i < n; i++)
        if (!place[i].file[0])
            return i;
    return -1;
}

static int put_drive(struct drive_args *a, const struct drive_words *w, struct errmsg *err)
{
    struct drive_arg *place = w->floppy ? a->floppy : a->drive;
    const int n = w->floppy ? FDC_DRIVES : BOARD_DRIVES;
    const char *kind = w->floppy ? "floppy drive" : "drive";
    const int at = w->index >= 0 ? w->index : first_free(place, n);
    if (at < 0)
        return err_set(err, -EINVAL, "more than %d %ss", n, kind);
    if (at >= n)
        return err_set(err, -EINVAL, "index: '%d' is not in 0..%d for a %s", at, n - 1, kind);
    if (w->floppy && w->d.cd)
        return err_set(err, -EINVAL, "a CD-ROM is no diskette: if=floppy without media=cdrom");
    if (place[at].file[0])
        return err_set(err, -EINVAL, "%s %d is '%.200s' already", kind, at, place[at].file);
    place[at] = w->d;
    return 0;
}

int drive_take(struct drive_args *a, const char *option, const char *value, struct errmsg *err)
{
    struct drive_words w = {.index = -1};
    int rc;

    option += strspn(option, "-");
    if (strncmp(option, "drive", 5) == 0) {
        rc = take_words(&w, value, err);
    } else {
        w.floppy = option[0] == 'f';
        w.d.cd = strncmp(option, "cdrom", 5) == 0;
        w.index = w.d.cd ? 2 : option[2] - 'a'; /* hda .. hdd, fda, fdb */
        rc = take_file(&w.d, value, err);
    }
    return rc < 0 ? rc : put_drive(a, &w, err);
}

bool drives_any(const struct drive_args *a)
{
    for (int i = 0; i < BOARD_DRIVES; i++)
        if (a->drive[i].file[0])
            return true;
    for (int i = 0; i < FDC_DRIVES; i++)
        if (a->floppy[i].file[0])
            return true;
    return false;
}

/* --- files ----------------------------------------------------------------------------------- */

static int open_one(const struct drive_args *a, const struct drive_arg *d, struct disk **out,
                    struct errmsg *err)
{
    const struct disk_opts o = {.path = d->file,
                                .readonly = d->readonly || d->cd,
                                .snapshot = d->snapshot || a->snapshot,
                                .raw = d->raw,
                                .unit = d->cd ? DISK_CD_SECTOR : DISK_SECTOR};
    return d->file[0] ? disk_open(&o, out, err) : 0;
}

static int open_floppy(const struct drive_args *a, const struct drive_arg *d, struct disk **out,
                       struct errmsg *err)
{
    struct fdc_media m;
    const int rc = open_one(a, d, out, err);
    if (rc < 0 || !*out || fdc_media_of(disk_sectors(*out) * DISK_SECTOR, &m))
        return rc;
    return err_set(err, -EFBIG,
                   "floppy %s: %llu bytes, and no diskette holds more than %u; a disk's image goes "
                   "to -hda, a CD-ROM's to -cdrom",
                   d->file, (unsigned long long)disk_sectors(*out) * DISK_SECTOR, FDC_MEDIA_BYTES);
}

int drives_open(const struct drive_args *a, struct board_drive out[BOARD_DRIVES],
                struct disk *floppy[FDC_DRIVES], struct errmsg *err)
{
    int rc = 0;
    memset(out, 0, BOARD_DRIVES * sizeof *out);
    memset(floppy, 0, FDC_DRIVES * sizeof(struct disk *));
    for (int i = 0; i < FDC_DRIVES && !rc; i++)
        rc = open_floppy(a, &a->floppy[i], &floppy[i], err);
    for (int i = 0; i < BOARD_DRIVES && !rc; i++) {
        rc = open_one(a, &a->drive[i], &out[i].disk, err);
        out[i].cd = a->drive[i].cd;
    }
    if (rc < 0)
        drives_close(out, floppy);
    return rc;
}

void drives_close(struct board_drive drive[BOARD_DRIVES], struct disk *floppy[FDC_DRIVES])
{
    for (int i = 0; i < BOARD_DRIVES; i++) {
        disk_close(drive[i].disk);
        drive[i].disk = NULL;
    }
    for (int i = 0; i < FDC_DRIVES; i++) {
        disk_close(floppy[i]);
        floppy[i] = NULL;
    }
}

/* --- reports --------------------------------------------------------------------------------- */

static void describe(const struct disk *d, FILE *out)
{
    if (d && disk_padding(d))
        fprintf(out, "umbra: disk %s: its last sector is not whole; %u zeros follow it\n",
                disk_path(d), disk_padding(d));
}

void drives_describe(const struct board_drive drive[BOARD_DRIVES],
                     struct disk *const floppy[FDC_DRIVES], FILE *out)
{
    for (int i = 0; i < FDC_DRIVES; i++)
        describe(floppy[i], out);
    for (int i = 0; i < BOARD_DRIVES; i++)
        describe(drive[i].disk, out);
}
