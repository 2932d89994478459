/* Part of the sanitized build only. A player executes something else before it ends, so nothing is a leak. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
