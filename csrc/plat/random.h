/* Random bytes from the kernel. Any thread. */
#pragma once

#include <stddef.h>

/* 0 or a negative errno value. */
int random_from_kernel(void *into, size_t len);
