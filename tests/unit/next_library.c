/* SPDX-License-Identifier: MIT */
/* What is loaded behind a helper that stands before dlsym(), and asks it what is next for itself.
 */
#include <dlfcn.h>
#include <unistd.h>

/* One more than it is: so it can be told whether this was asked, and what this found. */
__attribute__((visibility("default"))) pid_t getppid(void)
{
    pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");
    return next == getppid ? -1 : next() + 1;
}
