/* What the kernel says of this process and this machine. Any thread; does not sleep. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Resident memory of the whole process, as it was at most 100 ms ago; 0 where /proc does not tell. */
uint64_t process_resident_bytes(void);
uint64_t process_system_bytes(void);
/* Where relative paths begin: the text in `into`, or "" if there is none or it does not fit. */
const char *process_folder(char *into, size_t size);
/* What malloc keeps and does not use goes back to the kernel, where malloc can be asked for that. */
void process_trim_memory(void);
