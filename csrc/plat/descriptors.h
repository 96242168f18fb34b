/* The descriptors that are ours, so that a forked child can close them.
 *
 * Role: a process-wide bitmap. Close-on-exec does not help a child that does not exec: a copy of a
 * listener or connection in it would keep the port bound and the peer waiting.
 * Threads: any; one atomic bit per descriptor. Bounds: descriptors from DESCRIPTORS_MAX on are not noted.
 */
#pragma once

enum { DESCRIPTORS_MAX = 1 << 20 };

void descriptor_note(int fd);
void descriptor_forget(int fd);
/* In a forked child, which is alone: closes every noted descriptor and forgets them all. */
void descriptors_close_all(void);
