// For MPICH over UCX with more ranks than cores: a wait that has found nothing gives the core to another rank. Without it
// a rank that waits keeps its core until the system takes it, some milliseconds later.
//
//   cc -O2 -shared -fPIC tools/yield.c -o yield.so && mpirun.mpich -env LD_PRELOAD "$PWD/yield.so" -n 8 …

#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stddef.h>

// UCX's own, which MPICH calls in every loop that waits; answers how much has moved.
unsigned ucp_worker_progress(void *worker) {
    // Ranks call it from several threads; they all find the same.
    static unsigned (*_Atomic progress)(void *);
    if (progress == NULL) progress = (unsigned (*)(void *))dlsym(RTLD_NEXT, "ucp_worker_progress");
    unsigned moved = progress(worker);
    if (moved == 0) sched_yield();
    return moved;
}
