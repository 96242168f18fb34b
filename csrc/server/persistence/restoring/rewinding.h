/* What a server has for checkpoints (store/checkpoint.h): which one is taken.
 *
 * Threads: all batons.
 */
#pragma once

struct kevyrt_checkpoint;

struct rewinding {
    /* Whose the parts of the keyspaces are; NULL: nobody's, or there are none. After a stop it may point to
     * one that is gone: without parts it says nothing. */
    const struct kevyrt_checkpoint *owner;
};
