/* Assertions and the log hook.
 *
 * KRT_ASSERT guards programmer errors at folder boundaries and stays on in release builds: going on
 * would corrupt data. KRT_DCHECK and whole-structure checks are on in debug and sanitizer builds only.
 * Neither is ever used on bytes that came from a socket or a file.
 *
 * The log hook is process-wide and set once, before the first server starts; it may be called from
 * any thread with anything held, so it must not block and must not call back into kevyrt.
 */
#pragma once

#include <stdarg.h>

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

typedef void log_hook(void *context, enum log_level level, const char *line);

void log_hook_set(log_hook *hook, void *context);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes one line through the log hook (standard error if none is set) and aborts. */
_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define KRT_LIKELY(x) __builtin_expect(!!(x), 1)
#define KRT_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define KRT_ASSERT(x) (KRT_LIKELY(x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))

#if KRT_DEBUG
#define KRT_DCHECK(x) KRT_ASSERT(x)
#else
#define KRT_DCHECK(x) ((void)sizeof(x))
#endif
