/* kernel.h - loops over vectors, compiled for the machine that they run on.
 *
 * KERNEL before a function that has a loop of plain arithmetic makes a second copy of it for AVX2, which is
 * taken where the processor has it. The copies are the same C, and so give the same results. Builds with
 * sanitizers have one copy: theirs run before the resolver may. */
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
#define KERNEL __attribute__((target_clones("avx2", "default")))
#else
#define KERNEL
#endif

#endif
