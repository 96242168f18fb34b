/* Versions: our own (from pyproject.toml, by the build), and the Redis whose behaviour is promised. */
#pragma once

#define KEVYRT_VERSION KRT_VERSION
#define KEVYRT_REDIS_VERSION "7.4.0"
