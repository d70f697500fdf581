/* Counts fsync and fdatasync of the process it is loaded into (LD_PRELOAD), and makes each take longer.
 *
 * SYNC_COUNT_FILE: a file of eight bytes, mapped and counted up after each sync.
 * SYNC_DELAY_MS: how long each sync waits before it is made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t *counter;
static struct timespec delay;

__attribute__((constructor)) static void prepare(void) {
    const char *path = getenv("SYNC_COUNT_FILE");
    const char *ms = getenv("SYNC_DELAY_MS");
    long wait = ms ? atol(ms) : 0;
    delay.tv_sec = wait / 1000;
    delay.tv_nsec = wait % 1000 * 1000000;
    if (!path)
        return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        abort();
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page == MAP_FAILED)
        abort();
    counter = page;
}

static int counted(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!real)
        abort();
    if (delay.tv_sec || delay.tv_nsec)
        nanosleep(&delay, NULL);
    int result = real(file);
    if (counter)
        atomic_fetch_add(counter, 1);
    return result;
}

int fsync(int file) { return counted("fsync", file); }
int fdatasync(int file) { return counted("fdatasync", file); }
