/* kernel.h - loops over vectors, compiled for the machine that they run on.
 *
 * KERNEL before a function that has a loop of plain arithmetic makes copies of it for AVX2 and for AVX-512,
 * of which the best is taken that the processor has. They are the same C, and so give the same results.
 * Builds with sanitizers have one copy: theirs run before the resolver may. */
#ifndef BASE_KERNEL_H
#define BASE_KERNEL_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define KERNEL_PLAIN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KERNEL_PLAIN
#endif

#if defined(__x86_64__) && defined(__linux__) && !defined(KERNEL_PLAIN)
#define KERNEL __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define KERNEL
#endif

#endif
