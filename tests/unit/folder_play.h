/* SPDX-License-Identifier: MIT */
/* What a filesystem is asked in a folder, and what it answers, as text: two folders that behave
 * alike give the same text. Needs root: two other users take part. */
#ifndef CE_TESTS_FOLDER_PLAY_H
#define CE_TESTS_FOLDER_PLAY_H

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "check.h"

enum { PLAY_USER = 1000, PLAY_OTHER = 1001, PLAY_GROUP = 2000 };

struct play {
    int at; /* the folder; also the working folder */
    FILE *out;
};

/* The result of a call, and its error. */
#define DO(play, call)                                                                             \
    __extension__({                                                                                \
        errno = 0;                                                                                 \
        long r_ = (long)(call);                                                                    \
        fprintf((play)->out, "%d %s = %s %d\n", __LINE__, #call, r_ < 0 ? "-1" : "ok",             \
                r_ < 0 ? errno : 0);                                                               \
        r_;                                                                                        \
    })
/* The same, with the number. */
#define NUMBER(play, call)                                                                         \
    __extension__({                                                                                \
        errno = 0;                                                                                 \
        long r_ = (long)(call);                                                                    \
        fprintf((play)->out, "%d %s = %ld %d\n", __LINE__, #call, r_, r_ < 0 ? errno : 0);         \
        r_;                                                                                        \
    })

static inline void play_stat(struct play *p, const char *name)
{
    struct stat st;
    if (lstat(name, &st) < 0) {
        fprintf(p->out, "%s: %d\n", name, errno);
        return;
    }
    fprintf(p->out, "%s: mode %o uid %u gid %u links %lu size %lld rdev %lx\n", name, st.st_mode,
            st.st_uid, st.st_gid, S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink,
            S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size, (unsigned long)st.st_rdev);
}

static inline void play_text(struct play *p, const char *name)
{
    char text[128] = "";
    ce_autofd int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fprintf(p->out, "%s: %zd '", name, n);
    for (ssize_t i = 0; i < n; i++)
        fprintf(p->out, text[i] >= ' ' ? "%c" : "\\%d", text[i]);
    fprintf(p->out, "'\n");
}

static inline void play_put(const char *name, const char *text, mode_t mode)
{
    ce_autofd int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd >= 0)
        (void)!write(fd, text, strlen(text));
}

/* In a child with that user's rights. */
static inline void play_as(struct play *p, uid_t uid, gid_t extra, void (*scene)(struct play *))
{
    fflush(p->out);
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        gid_t groups[] = {extra};
        struct play his = {.at = p->at, .out = fdopen(pair[1], "w")};
        if (setgroups(extra > 0, groups) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0)
            _exit(1);
        scene(&his);
        fflush(his.out);
        _exit(0);
    }
    (void)close(pair[1]);
    char text[4096];
    for (ssize_t n; (n = read(pair[0], text, sizeof text)) > 0;)
        fwrite(text, 1, (size_t)n, p->out);
    (void)close(pair[0]);
    int status = -1;
    (void)waitpid(pid, &status, 0);
    fprintf(p->out, "user %u ended with %d\n", uid, status);
}

/* ---- scenes ---- */

static inline void play_open(struct play *p)
{
    mode_t old = umask(027);
    (void)close((int)DO(p, open("a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)));
    (void)umask(old);
    play_stat(p, "a");
    DO(p, open("a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    DO(p, open("missing", O_RDONLY | O_CLOEXEC));
    DO(p, mkdir("d", 0755));
    DO(p, mkdir("d", 0755));
    DO(p, open("d", O_WRONLY | O_CLOEXEC));
    DO(p, open("a", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DO(p, symlink("a", "s"));
    DO(p, open("s", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    DO(p, open("a/b", O_RDONLY | O_CLOEXEC));
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    DO(p, close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
    DO(p, unlink(name));
    name[255] = 'n';
    name[256] = '\0';
    DO(p, open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    play_put("odd \n\t\\ name \xc3\xa4", "odd", 0640);
    play_text(p, "odd \n\t\\ name \xc3\xa4");
}

static inline void play_data(struct play *p)
{
    char text[64] = "";
    ce_autofd int a = open("a", O_RDWR | O_CLOEXEC);
    ce_autofd int b = open("a", O_RDWR | O_APPEND | O_CLOEXEC);
    NUMBER(p, write(a, "hello", 5));
    NUMBER(p, write(b, " there", 6));
    NUMBER(p, pwrite(b, "!", 1, 0)); /* appends all the same */
    NUMBER(p, pread(a, text, 20, 3));
    NUMBER(p, pread(a, text, 20, 300));
    play_text(p, "a");
    NUMBER(p, ftruncate(a, 4));
    NUMBER(p, write(b, "X", 1));
    NUMBER(p, lseek(b, 0, SEEK_CUR));
    NUMBER(p, truncate("a", 8));
    play_text(p, "a");
    NUMBER(p, close(open("a", O_WRONLY | O_TRUNC | O_CLOEXEC)));
    play_stat(p, "a");
    NUMBER(p, pwrite(a, "far", 3, 1 << 20));
    NUMBER(p, lseek(a, 0, SEEK_DATA));
    NUMBER(p, lseek(a, 1 << 20, SEEK_HOLE));
    NUMBER(p, lseek(a, 2 << 20, SEEK_DATA));
    NUMBER(p, fallocate(a, FALLOC_FL_KEEP_SIZE, 0, 4 << 20));
    NUMBER(p, fallocate(a, 0, 0, 2 << 20));
    NUMBER(p, fallocate(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096));
    NUMBER(p, pread(a, text, 3, 1 << 20));
    fprintf(p->out, "punched %d\n", text[0]);
    play_stat(p, "a");
    NUMBER(p, fsync(a));
    NUMBER(p, fdatasync(b));
    NUMBER(p, fsync(p->at));
    NUMBER(p, syncfs(a));
    NUMBER(p, pwrite(a, "x", 1, -1));
    ce_autofd int r = open("a", O_RDONLY | O_CLOEXEC);
    NUMBER(p, write(r, "x", 1));
    NUMBER(p, ftruncate(r, 0));
}

static inline void play_copies(struct play *p)
{
    play_put("from", "0123456789", 0644);
    ce_autofd int from = open("from", O_RDONLY | O_CLOEXEC);
    ce_autofd int to = open("to", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    off_t a = 2, b = 0;
    NUMBER(p, copy_file_range(from, &a, to, &b, 5, 0));
    NUMBER(p, lseek(to, 0, SEEK_END));
    a = 0;
    NUMBER(p, sendfile(to, from, &a, 4));
    play_text(p, "to");
    ce_autofree char *block = NULL;
    if (posix_memalign((void **)&block, 4096, 4096) != 0)
        return;
    memset(block, 'd', 4096);
    ce_autofd int direct = open("direct", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
    NUMBER(p, pwrite(direct, block, 4096, 4096));
    NUMBER(p, pread(direct, block, 4096, 0));
    fprintf(p->out, "direct %d\n", block[17]);
    play_stat(p, "direct");
}

static inline void play_names(struct play *p)
{
    play_put("one", "one", 0644);
    play_put("two", "two", 0600);
    DO(p, link("one", "uno"));
    play_stat(p, "uno");
    DO(p, rename("two", "uno"));
    play_stat(p, "one");
    play_text(p, "uno");
    DO(p, renameat2(p->at, "one", p->at, "uno", RENAME_NOREPLACE));
    DO(p, renameat2(p->at, "one", p->at, "uno", RENAME_EXCHANGE));
    play_text(p, "one");
    DO(p, mkdir("d/e", 01777));
    play_stat(p, "d/e");
    DO(p, rename("d", "d/e/f"));
    DO(p, rename("one", "d"));
    DO(p, rmdir("d"));
    DO(p, unlink("d"));
    DO(p, rename("one", "d/e/one"));
    DO(p, rename("d/e", "moved"));
    play_text(p, "moved/one");
    DO(p, symlink("nowhere", "dangling"));
    DO(p, access("dangling", F_OK));
    DO(p, linkat(p->at, "dangling", p->at, "dangling2", 0));
    play_stat(p, "dangling2");
    char to[64] = "";
    NUMBER(p, readlink("dangling2", to, sizeof to - 1));
    fprintf(p->out, "%s\n", to);
    DO(p, symlink("loop", "loop"));
    DO(p, open("loop", O_RDONLY | O_CLOEXEC));
    DO(p, link("d", "dlink"));
    DO(p, mkfifo("fifo", 0620));
    play_stat(p, "fifo");
    DO(p, mknod("node", S_IFREG | 0604, 0));
    play_stat(p, "node");
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    ce_autofd int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ce_autofd int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DO(p, bind(s, (struct sockaddr *)&address, sizeof address));
    DO(p, listen(s, 1));
    DO(p, connect(c, (struct sockaddr *)&address, sizeof address));
    DO(p, unlink("socket"));
    DO(p, unlink("missing"));
    DO(p, rmdir("one"));
}

static inline void play_open_and_gone(struct play *p)
{
    char text[16] = "";
    struct stat st = {0};
    ce_autofd int fd = open("gone", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    DO(p, unlink("gone"));
    NUMBER(p, write(fd, "still", 5));
    NUMBER(p, pread(fd, text, 5, 0));
    DO(p, fstat(fd, &st));
    fprintf(p->out, "links %lu size %lld %s\n", (unsigned long)st.st_nlink, (long long)st.st_size,
            text);
    DO(p, fchmod(fd, 0400));
    DO(p, ftruncate(fd, 2));
    DO(p, access("gone", F_OK));
    ce_autofd int moved = open("old-name", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    DO(p, rename("old-name", "new-name"));
    NUMBER(p, write(moved, "moved", 5));
    play_text(p, "new-name");
    DO(p, mkdir("left", 0755));
    ce_autofd int folder = open("left", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DO(p, rmdir("left"));
    DO(p, openat(folder, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static inline void play_nameless(struct play *p)
{
    char text[16] = "", path[32];
    struct stat st = {0};
    ce_autofd int fd = (int)DO(p, open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
    NUMBER(p, write(fd, "nameless", 8));
    NUMBER(p, pread(fd, text, 8, 0));
    DO(p, fstat(fd, &st));
    fprintf(p->out, "links %lu mode %o %s\n", (unsigned long)st.st_nlink, st.st_mode, text);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    DO(p, linkat(AT_FDCWD, path, p->at, "named", AT_SYMLINK_FOLLOW));
    play_text(p, "named");
    play_stat(p, "named");
    DO(p, open("one", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
}

static inline void play_attributes(struct play *p)
{
    struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 123456789},
                                {.tv_sec = 1100000000, .tv_nsec = 987654321}};
    struct stat st = {0};
    play_put("one", "another one", 0644);
    DO(p, utimensat(p->at, "one", times, 0));
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = 1200000000;
    DO(p, utimensat(p->at, "one", times, 0));
    DO(p, utimensat(p->at, "dangling", times, AT_SYMLINK_NOFOLLOW));
    DO(p, lstat("one", &st));
    fprintf(p->out, "%lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
            (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    DO(p, lstat("dangling", &st));
    fprintf(p->out, "%lld\n", (long long)st.st_mtim.tv_sec);
    DO(p, chmod("one", 04755));
    play_stat(p, "one");
    DO(p, chown("one", PLAY_USER, PLAY_GROUP));
    play_stat(p, "one");
    DO(p, chmod("one", 06777));
    DO(p, lchown("dangling", PLAY_USER, 0));
    play_stat(p, "dangling");
    DO(p, mkdir("shared", 0770));
    DO(p, chown("shared", 0, PLAY_GROUP));
    DO(p, chmod("shared", 02770));
    DO(p, mkdir("sticky", 0777));
    DO(p, chmod("sticky", 01777));
    play_put("sticky/root", "root", 0666);
    play_put("secret", "secret", 0600);
    struct statvfs fs;
    DO(p, statvfs(".", &fs));
    fprintf(p->out, "namemax %lu bsize %lu room %d\n", fs.f_namemax, fs.f_bsize, fs.f_bavail > 0);
}

static inline void play_user(struct play *p)
{
    DO(p, open("secret", O_RDONLY | O_CLOEXEC));
    DO(p, access("secret", R_OK));
    DO(p, open("mine", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    play_put("sticky/mine", "mine", 0644);
    play_stat(p, "sticky/mine");
    DO(p, unlink("sticky/root"));
    DO(p, chmod("sticky/root", 0600));
    play_put("shared/ours", "ours", 0664);
    play_stat(p, "shared/ours");
    DO(p, mkdir("shared/folder", 0775));
    play_stat(p, "shared/folder");
    DO(p, symlink("x", "sticky/link"));
    play_stat(p, "sticky/link");
    DO(p, chown("sticky/mine", 0, 0));
    DO(p, chmod("sticky/mine", 02644));
    play_stat(p, "sticky/mine");
    DO(p, truncate("secret", 0));
}

static inline void play_other(struct play *p)
{
    DO(p, unlink("sticky/mine"));
    DO(p, open("shared/ours", O_RDONLY | O_CLOEXEC));
    play_put("one", "rewritten", 0644); /* takes set-user-ID and set-group-ID away */
    play_stat(p, "one");
    DO(p, link("secret", "sticky/secret"));
}

static inline void play_xattr(struct play *p)
{
    char value[64] = "";
    DO(p, setxattr("one", "user.a", "value", 5, 0));
    DO(p, setxattr("one", "user.a", "value", 5, XATTR_CREATE));
    DO(p, setxattr("one", "user.b", "value", 5, XATTR_REPLACE));
    NUMBER(p, getxattr("one", "user.a", NULL, 0));
    NUMBER(p, getxattr("one", "user.a", value, 2));
    NUMBER(p, getxattr("one", "user.a", value, sizeof value));
    NUMBER(p, getxattr("one", "user.missing", value, sizeof value));
    NUMBER(p, listxattr("one", value, sizeof value));
    fprintf(p->out, "%s\n", value);
    DO(p, lsetxattr("dangling", "user.a", "value", 5, 0));
    NUMBER(p, lgetxattr("dangling", "user.a", value, sizeof value));
    DO(p, removexattr("one", "user.a"));
    DO(p, removexattr("one", "user.a"));
}

/* A default list for what is made in a folder: it counts instead of the umask. */
static inline void play_acl(struct play *p)
{
    static const struct {
        uint32_t version;
        struct {
            uint16_t tag, permissions;
            uint32_t id;
        } entries[5];
    } list = {2,
              {{1, 7, UINT32_MAX},
               {2, 7, PLAY_OTHER},
               {4, 5, UINT32_MAX},
               {16, 7, UINT32_MAX},
               {32, 0, UINT32_MAX}}};
    DO(p, mkdir("acl", 0755));
    DO(p, setxattr("acl", "system.posix_acl_default", &list, sizeof list, 0));
    DO(p, setxattr("acl", "system.posix_acl_access", &list, sizeof list, 0));
    play_stat(p, "acl");
    mode_t old = umask(077);
    play_put("acl/file", "inherited", 0666);
    DO(p, mkdir("acl/folder", 0777));
    (void)umask(old);
    play_stat(p, "acl/file");
    play_stat(p, "acl/folder");
}

static inline void play_listed(struct play *p)
{
    play_text(p, "acl/file");
    DO(p, open("acl/file", O_WRONLY | O_CLOEXEC));
    DO(p, access("acl/file", W_OK));
}

static inline void play_locks(struct play *p)
{
    ce_autofd int a = open("one", O_RDWR | O_CLOEXEC);
    ce_autofd int b = open("one", O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 2};
    DO(p, flock(a, LOCK_EX));
    DO(p, flock(b, LOCK_SH | LOCK_NB));
    DO(p, flock(a, LOCK_UN));
    DO(p, flock(b, LOCK_SH | LOCK_NB));
    DO(p, fcntl(a, F_OFD_SETLK, &lock));
    DO(p, fcntl(b, F_OFD_SETLK, &lock));
    lock.l_start = 2;
    DO(p, fcntl(b, F_OFD_SETLK, &lock));
}

static inline void play_map(struct play *p)
{
    char text[16] = "";
    ce_autofd int fd = open("map", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    NUMBER(p, ftruncate(fd, 8192));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fprintf(p->out, "mapped %d\n", map != MAP_FAILED);
    if (map == MAP_FAILED)
        return;
    memcpy(map + 5000, "mapped", 6);
    NUMBER(p, pread(fd, text, 6, 5000));
    fprintf(p->out, "%s\n", text);
    NUMBER(p, pwrite(fd, "written", 7, 100));
    fprintf(p->out, "%.7s\n", map + 100);
    DO(p, msync(map, 8192, MS_SYNC));
    DO(p, munmap(map, 8192));
}

static inline int play_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in order, and that each comes once, also when reading goes on at a place kept. */
static inline void play_folder(struct play *p)
{
    enum { MANY = 2000 };
    DO(p, mkdir("many", 0755));
    for (int i = 0; i < MANY; i++) {
        ce_autofree char *name = NULL;
        if (asprintf(&name, "many/entry-with-a-name-of-some-length-%d", i) > 0)
            play_put(name, "", 0600);
    }
    static char *names[MANY + 8];
    size_t count = 0;
    long kept = 0;
    DIR *folder = opendir("many");
    for (const struct dirent *e; folder && count < MANY + 8 && (e = readdir(folder));) {
        names[count++] = strdup(e->d_name);
        if (count == 1000)
            kept = telldir(folder);
    }
    char *next = count > 1000 ? strdup(names[1000]) : NULL;
    if (folder) {
        seekdir(folder, kept);
        const struct dirent *e = readdir(folder);
        fprintf(p->out, "goes on: %d\n", e && next && strcmp(e->d_name, next) == 0);
        closedir(folder);
    }
    free(next);
    qsort(names, count, sizeof names[0], play_compare);
    fprintf(p->out, "%zu entries, first %s, last %s\n", count, names[0], names[count - 1]);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && strcmp(names[i], names[i + 1]) == 0)
            fprintf(p->out, "twice: %s\n", names[i]);
        if (i % 2 == 0 && names[i][0] == 'e') {
            ce_autofree char *name = NULL;
            if (asprintf(&name, "many/%s", names[i]) > 0)
                (void)unlink(name);
        }
    }
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    DO(p, rmdir("many"));
}

static inline void play_program(struct play *p)
{
    play_put("script", "#!/bin/sh\nexit 7\n", 0755);
    fflush(p->out);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./script", "script", (char *)NULL);
        _exit(99);
    }
    int status = -1;
    (void)waitpid(pid, &status, 0);
    fprintf(p->out, "script: %d\n", WEXITSTATUS(status));
}

/* Everything, in that folder. NULL: it cannot be entered. Free with free(). */
static inline char *play_in(const char *folder)
{
    char *text = NULL;
    size_t size;
    struct play p = {.at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    ce_autofd int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.at < 0 || home < 0 || fchdir(p.at) < 0)
        return NULL;
    p.out = open_memstream(&text, &size);
    play_open(&p);
    play_data(&p);
    play_copies(&p);
    play_names(&p);
    play_open_and_gone(&p);
    play_nameless(&p);
    play_attributes(&p);
    play_as(&p, PLAY_USER, PLAY_GROUP, play_user);
    play_as(&p, PLAY_OTHER, 0, play_other);
    play_xattr(&p);
    play_acl(&p);
    play_as(&p, PLAY_OTHER, 0, play_listed);
    play_locks(&p);
    play_map(&p);
    play_folder(&p);
    play_program(&p);
    fclose(p.out);
    (void)fchdir(home);
    (void)close(p.at);
    return text;
}

#endif
