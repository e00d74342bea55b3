/* LD_PRELOAD library: the wall clock is off by the ms in the file that CLOCKJUMP names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

int gettimeofday(struct timeval *now, void *zone) {
    static int (*real)(struct timeval *, void *);
    const char *path = getenv("CLOCKJUMP");
    FILE *file = path ? fopen(path, "r") : NULL;
    long off = 0;
    if (file) {
        if (fscanf(file, "%ld", &off) != 1) off = 0;
        fclose(file);
    }
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "gettimeofday");
    int answer = real(now, zone);
    long us = now->tv_usec + off % 1000 * 1000;
    now->tv_sec += off / 1000 + (us < 0 ? -1 : us / 1000000);
    now->tv_usec = (us + 1000000) % 1000000;
    return answer;
}
