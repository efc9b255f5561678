/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vectors of one width and exponentials of them. Included once for each width wanted, with
 * LANES_BYTES (16, 32 or 64) defined; LANES(name) is then the name of that width's version.
 *
 * Vectors go in and out by pointer, because passing wide ones by value changes the calling
 * convention with the target.
 */
#include <stdint.h>

#ifndef LANES_BYTES
#define LANES_BYTES 16
#endif
#undef LANES
#undef LANES_PASTE
#undef LANES_NAME
#define LANES_PASTE(name, bytes) name##_v##bytes
#define LANES_NAME(name, bytes) LANES_PASTE(name, bytes)
#define LANES(name) LANES_NAME(name, LANES_BYTES)

typedef float LANES(f32) __attribute__((vector_size(LANES_BYTES)));
typedef int32_t LANES(i32) __attribute__((vector_size(LANES_BYTES)));
typedef double LANES(f64) __attribute__((vector_size(LANES_BYTES)));
typedef uint64_t LANES(u64) __attribute__((vector_size(LANES_BYTES)));

/*
 * 2^x for x <= 0, within 4e-7 relative; below -126 it stays at 2^-126. x = n + r, |r| <= 1/2, and a
 * polynomial of least relative error for 2^r, its terms paired so that they need not wait for each
 * other. Adding 1.5 * 2^23 leaves n in the low bits of the sum, from where it is shifted into the
 * exponent. The floor goes by the sign of the difference: vectors of conditions are slow or missing
 * on some processors.
 */
static inline __attribute__((always_inline)) void LANES(exp2)(
	const LANES(f32) * x, LANES(f32) * ret_y)
{
	const float shift = 0x1.8p23f;
	const LANES(f32) floor = (LANES(f32)){0} - 126.0f;
	const LANES(i32) below = (LANES(i32))(*x - floor) >> 31;
	const LANES(f32) y =
		(LANES(f32))(((LANES(i32))floor & below) | ((LANES(i32)) * x & ~below));
	const LANES(f32) n = y + shift;
	const LANES(f32) r = y - (n - shift);
	const LANES(f32) r2 = r * r;
	const LANES(f32) high = (5.550713274163479e-2f * r + 2.4022119723883523e-1f) +
		(1.327647177700328e-3f * r + 9.675541332692009e-3f) * r2;
	const LANES(f32) p = (6.931469670643525e-1f * r + 1.0000000716546702f) + high * r2;

	*ret_y = (LANES(f32))((LANES(i32))p + ((LANES(i32))n << 23));
}

/*
 * e^x for x <= 0, within 6e-16 relative; below -708 it stays at e^-708. As above, with ln 2 in two
 * parts and the exponential series to r^13.
 */
static inline __attribute__((always_inline)) void LANES(exp)(
	const LANES(f64) * x, LANES(f64) * ret_y)
{
	const double shift = 0x1.8p52;
	const LANES(f64) floor = (LANES(f64)){0} - 708.0;
	const LANES(u64) below = -((LANES(u64))(*x - floor) >> 63);
	const LANES(f64) y =
		(LANES(f64))(((LANES(u64))floor & below) | ((LANES(u64)) * x & ~below));
	const LANES(f64) n = y * 0x1.71547652b82fep+0 + shift;
	const LANES(f64) k = n - shift;
	const LANES(f64) r = (y - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
	const LANES(f64) r2 = r * r, r4 = r2 * r2;
	const LANES(f64) low = (1.0 + r) + (0.5 + 1.0 / 6.0 * r) * r2;
	const LANES(f64) middle =
		(1.0 / 24.0 + 1.0 / 120.0 * r) + (1.0 / 720.0 + 1.0 / 5040.0 * r) * r2;
	const LANES(f64) high = (1.0 / 40320.0 + 1.0 / 362880.0 * r) +
		(1.0 / 3628800.0 + 1.0 / 39916800.0 * r) * r2 +
		(1.0 / 479001600.0 + 1.0 / 6227020800.0 * r) * r4;
	const LANES(f64) p = low + (middle + high * r4) * r4;

	*ret_y = (LANES(f64))((LANES(u64))p + ((LANES(u64))n << 52));
}
