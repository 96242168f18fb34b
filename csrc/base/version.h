/* Versions: our own, and the Redis whose behaviour is promised. */
#pragma once

#define KEVYRT_VERSION "0.1.0"
#define KEVYRT_REDIS_VERSION "7.4.0"
