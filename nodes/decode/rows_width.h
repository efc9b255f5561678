/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops of rows.h for one processor generation. Included by rows.c once for each, with
 * ROWS(name) and ROWS_TARGET (the functions' target attribute, or nothing) defined.
 */

static inline double ROWS(lanes_sum)(const double sums[FNX_F64_LANES])
{
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
		((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

ROWS_TARGET static double ROWS(sum)(const double *x, size_t n)
{
	double sums[FNX_F64_LANES] = {0};
	size_t i = 0;

	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES)
		for (size_t k = 0; k < FNX_F64_LANES; k++)
			sums[k] += x[i + k];
	for (size_t k = 0; i < n; i++, k++)
		sums[k] += x[i];
	return ROWS(lanes_sum)(sums);
}

ROWS_TARGET static double ROWS(max)(const double *x, size_t n)
{
	double most[FNX_F64_LANES];
	size_t i = 0;

	for (size_t k = 0; k < FNX_F64_LANES; k++)
		most[k] = -HUGE_VAL;
	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES)
		for (size_t k = 0; k < FNX_F64_LANES; k++)
			most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
	for (; i < n; i++)
		most[0] = x[i] > most[0] ? x[i] : most[0];
	for (size_t k = 1; k < FNX_F64_LANES; k++)
		most[0] = most[k] > most[0] ? most[k] : most[0];
	return most[0];
}

ROWS_TARGET static double ROWS(multiply)(const double *restrict a, double scale,
	const double *restrict b, size_t n, double *restrict ret)
{
	double sums[FNX_F64_LANES] = {0};
	size_t i = 0;

	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES) {
		for (size_t k = 0; k < FNX_F64_LANES; k++) {
			const double value = a[i + k] * scale * b[i + k];

			ret[i + k] = value;
			sums[k] += value;
		}
	}
	for (size_t k = 0; i < n; i++, k++) {
		ret[i] = a[i] * scale * b[i];
		sums[k] += ret[i];
	}
	return ROWS(lanes_sum)(sums);
}

ROWS_TARGET static double ROWS(multiply_floored)(const double *restrict a, double scale,
	const double *restrict b, double floor, size_t n, double *restrict ret)
{
	double sums[FNX_F64_LANES] = {0};
	size_t i = 0;

	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES) {
		for (size_t k = 0; k < FNX_F64_LANES; k++) {
			const double factor = b[i + k] > floor ? b[i + k] : floor;
			const double value = a[i + k] * scale * factor;

			ret[i + k] = value;
			sums[k] += value;
		}
	}
	for (size_t k = 0; i < n; i++, k++) {
		ret[i] = a[i] * scale * (b[i] > floor ? b[i] : floor);
		sums[k] += ret[i];
	}
	return ROWS(lanes_sum)(sums);
}

ROWS_TARGET static double ROWS(weigh)(
	const double *restrict a, const double *restrict b, size_t n, double *restrict ret)
{
	double sums[FNX_F64_LANES] = {0};
	size_t i = 0;

	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES) {
		for (size_t k = 0; k < FNX_F64_LANES; k++) {
			const double value = a[i + k] * b[i + k];

			ret[i + k] = value;
			sums[k] += value == value ? value : 0.0;
		}
	}
	for (size_t k = 0; i < n; i++, k++) {
		ret[i] = a[i] * b[i];
		sums[k] += ret[i] == ret[i] ? ret[i] : 0.0;
	}
	return ROWS(lanes_sum)(sums);
}

ROWS_TARGET static double ROWS(exponents)(const double *restrict a, const double *restrict b,
	double factor, size_t n, double *restrict ret)
{
	for (size_t i = 0; i < n; i++) {
		const double value = factor * a[i] / b[i];

		ret[i] = fabs(value) <= DBL_MAX ? value : -HUGE_VAL;
	}
	return ROWS(max)(ret, n);
}

ROWS_TARGET static void ROWS(subtract)(
	const double *restrict x, double what, size_t n, double *restrict ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = x[i] - what;
}

ROWS_TARGET static double ROWS(clear_below)(double least, size_t n, double *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] < least ? 0.0 : x[i];
	return ROWS(sum)(x, n);
}

ROWS_TARGET static void ROWS(divide)(const double *x, double by, size_t n, double *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = x[i] / by;
}

ROWS_TARGET static void ROWS(add_scaled)(
	double *restrict ret, const double *restrict x, double factor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret[i] += factor * x[i];
}

#define ROWS_SET \
	{ \
		ROWS(sum), ROWS(max), ROWS(multiply), ROWS(multiply_floored), ROWS(weigh), \
			ROWS(exponents), ROWS(subtract), ROWS(clear_below), ROWS(divide), \
			ROWS(add_scaled) \
	}
