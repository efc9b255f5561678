/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why not Hermite functions, as the fast Gauss transform has: those are Taylor series about the
 * centre, which are worst at the corners; Chebyshev's spread the error over the cube and need
 * half the degrees. Why terms by bounds and not all below a degree: T_7 of one dimension
 * alone is smaller than T_2 of all four.
 */
#include "nodes/encode/expansion.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* What is kept: products of bounds down to e^-BUDGET; of less than four dimensions, which have few
 * terms, more. */
static const double BUDGET = 15.0, BUDGET_OF_FEW = 16.5;
/* How much smaller it is from level to level. */
static const double LEVEL_STEP = 1.5;
/*
 * What is trusted. Each kernel's own error may be some 4e-6 of its peak: only those of many, which
 * are not all at one place, make up for each other. What tells that they do not: there are few, */
static const double SUM_MIN = 16.0; /* kernels' peaks */
/* or the sum is small beside its mean over the cube, the coefficient of 1, with which errors go; */
static const double MEAN_MAX = 1.5; /* of the sum */
/* or terms do not fall off: those of the last level, as the square root of the sum of squares. So
 * these are kept of all kernels that can say something there. */
static const double LAST_MAX = 5e-7; /* of the sum */
/* Levels that a kernel's distance saves before any is left out: 5.5 deviations from the centre have
 * all terms. With two less, clusters there made sums wrong by 1e-5 of which no term told. */
static const double LEVELS_SPARED = 4.0;

static void make_points(struct fnx_expansion *expansion)
{
	/* cos(pi / 16), cos(3 pi / 16), ...: by hand, for libm's may differ in the last bit. */
	static const double halves[] = {0.98078528040323044913, 0.83146961230254523708,
		0.55557023301960222474, 0.19509032201612826785};

	for (uint32_t j = 0; j < FNX_EXPANSION_DEGREES; j++) {
		const double x = j < 4 ? halves[j] : -halves[7 - j];
		double value = 1.0, next = x;

		expansion->points[j] = x;
		for (uint32_t k = 0; k < FNX_EXPANSION_DEGREES; k++) {
			const double after = 2.0 * x * next - value;

			expansion->weights[j][k] = value * (k ? 2.0 : 1.0) / FNX_EXPANSION_DEGREES;
			value = next;
			next = after;
		}
	}
}

/* Of every pair of degrees what it takes of the budget, falling bounds first. `n_dims` of the two
 * have degrees at all. Returns the number of pairs. */
static uint32_t sort_pairs(uint32_t n_dims, uint8_t ret_pairs[][2], double *ret_costs)
{
	double costs[FNX_EXPANSION_DEGREES] = {0};
	uint32_t n = 0;

	for (uint32_t k = 1; k < FNX_EXPANSION_DEGREES; k++)
		costs[k] = costs[k - 1] + log(2.0 / FNX_EXPANSION_HALF_EDGE) + 0.5 * log(k);
	for (uint32_t a = 0; a < (n_dims > 0 ? FNX_EXPANSION_DEGREES : 1); a++)
		for (uint32_t b = 0; b < (n_dims > 1 ? FNX_EXPANSION_DEGREES : 1); b++) {
			const double cost = costs[a] + costs[b];
			uint32_t i = n++;

			for (; i > 0 && ret_costs[i - 1] > cost; i--) {
				ret_costs[i] = ret_costs[i - 1];
				memcpy(ret_pairs[i], ret_pairs[i - 1], 2);
			}
			ret_costs[i] = cost;
			ret_pairs[i][0] = (uint8_t)a;
			ret_pairs[i][1] = (uint8_t)b;
		}
	return n;
}

/* An octet costs what the first of its terms does. */
static void insert_octet(
	struct fnx_expansion *expansion, uint8_t outer, uint8_t inner, double cost, double *costs)
{
	uint32_t i = expansion->n_octets++;

	assert(i < FNX_EXPANSION_OCTETS_MAX);
	for (; i > 0 && costs[i - 1] > cost; i--) {
		costs[i] = costs[i - 1];
		memcpy(expansion->octets[i], expansion->octets[i - 1], 2);
	}
	costs[i] = cost;
	expansion->octets[i][0] = outer;
	expansion->octets[i][1] = inner;
}

void fnx_expansion_init(struct fnx_expansion *expansion, uint32_t n_dims)
{
	double inner[FNX_EXPANSION_PAIRS], outer[FNX_EXPANSION_PAIRS];
	const double budget = n_dims < 4 ? BUDGET_OF_FEW : BUDGET;
	double costs[FNX_EXPANSION_OCTETS_MAX];
	uint32_t n_inner, n_outer;

	*expansion = (struct fnx_expansion){.processor = fnx_processor(), .n_dims = n_dims};
	make_points(expansion);
	n_inner = sort_pairs(n_dims, expansion->inner, inner);
	n_outer = sort_pairs(n_dims > 2 ? n_dims - 2 : 0, expansion->outer, outer);
	for (uint32_t i = 0; i < n_outer; i++)
		for (uint32_t k = 0; k < n_inner / 8 && outer[i] + inner[8 * k] <= budget; k++)
			insert_octet(
				expansion, (uint8_t)i, (uint8_t)k, outer[i] + inner[8 * k], costs);
	for (uint32_t i = 0; i < expansion->n_octets; i++) {
		const uint8_t *octet = expansion->octets[i];

		if (octet[0] >= expansion->n_outer)
			expansion->n_outer = octet[0] + 1u;
		if (8u * octet[1] >= expansion->n_inner)
			expansion->n_inner = 8u * octet[1] + 8;
	}
	expansion->n_terms = 8 * expansion->n_octets;
	expansion->n_wide = expansion->n_octets < FNX_EXPANSION_WIDE_OCTETS
		? expansion->n_octets
		: FNX_EXPANSION_WIDE_OCTETS;
	expansion->set_size = 32 * (expansion->n_octets + expansion->n_wide);
	for (uint32_t level = 0; level < FNX_EXPANSION_LEVELS; level++)
		while (expansion->n_of_level[level] < expansion->n_octets &&
			costs[expansion->n_of_level[level]] <= budget - level * LEVEL_STEP)
			expansion->n_of_level[level]++;
}

void fnx_expansion_factors(const struct fnx_expansion *expansion, double offset,
	float ret_factors[FNX_EXPANSION_DEGREES])
{
	_Alignas(FNX_LANES_ALIGN) double kernel[FNX_EXPANSION_DEGREES];
	double sums[FNX_EXPANSION_DEGREES] = {0};

	for (uint32_t j = 0; j < FNX_EXPANSION_DEGREES; j++) {
		const double x = FNX_EXPANSION_HALF_EDGE * expansion->points[j] - offset;

		kernel[j] = -0.5 * x * x;
	}
	fnx_exp_all(kernel, FNX_EXPANSION_DEGREES);
	for (uint32_t j = 0; j < FNX_EXPANSION_DEGREES; j++)
		for (uint32_t k = 0; k < FNX_EXPANSION_DEGREES; k++)
			sums[k] += kernel[j] * expansion->weights[j][k];
	for (uint32_t k = 0; k < FNX_EXPANSION_DEGREES; k++)
		ret_factors[k] = (float)sums[k];
}

#define LANES_BYTES 16
#include "nodes/encode/expansion_width.h"

#ifdef __x86_64__
#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 32
#define LANES_TARGET __attribute__((target("avx2,fma")))
#include "nodes/encode/expansion_width.h"
#endif

struct loops {
	void (*add_products)(const struct fnx_expansion *expansion, uint32_t first, uint32_t end,
		const float *outer, const float *inner, float *ret);
	void (*add_wide)(const struct fnx_expansion *expansion, uint32_t n_octets,
		const float *outer, const float *inner, double *ret);
	void (*sum_all)(const struct fnx_expansion *expansion, uint32_t n, const float *terms,
		const void *sets, double *ret_sums, double *ret_squares);
};

/* An octet is no wider than 32 bytes. */
static const struct loops *loops_of(const struct fnx_expansion *expansion)
{
	static const struct loops any = {add_products_v16, add_wide_v16, sum_all_v16};
#ifdef __x86_64__
	static const struct loops avx2 = {add_products_v32, add_wide_v32, sum_all_v32};

	if (expansion->processor >= FNX_PROCESSOR_AVX2)
		return &avx2;
#else
	(void)expansion;
#endif
	return &any;
}

/* Of each pair of degrees the product. A dimension that is not there has T_0 = 1 alone. */
static void multiply(const struct fnx_expansion *expansion,
	const float *const factors[FNX_EXPANSION_DIMS_MAX], float sign, float *ret_outer,
	float *ret_inner)
{
	static const float none[FNX_EXPANSION_DEGREES] = {1.0f};
	const float *rows[FNX_EXPANSION_DIMS_MAX];

	for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
		rows[d] = d < expansion->n_dims ? factors[d] : none;
	for (uint32_t i = 0; i < expansion->n_inner; i++)
		ret_inner[i] = rows[0][expansion->inner[i][0]] * rows[1][expansion->inner[i][1]];
	for (uint32_t i = 0; i < expansion->n_outer; i++)
		ret_outer[i] =
			sign * rows[2][expansion->outer[i][0]] * rows[3][expansion->outer[i][1]];
}

static uint32_t level_of(double square)
{
	return (uint32_t)fmin(
		fmax(0.25 * square / LEVEL_STEP - LEVELS_SPARED, 0.0), FNX_EXPANSION_LEVELS - 1);
}

void fnx_expansion_fetch(
	const struct fnx_expansion *expansion, double square, const void *coefficients)
{
	const size_t size =
		32 * (expansion->n_of_level[level_of(square)] + (size_t)expansion->n_wide);

	for (size_t i = 0; i < size; i += FNX_LANES_ALIGN)
		__builtin_prefetch((const char *)coefficients + i, 1);
}

void fnx_expansion_add(const struct fnx_expansion *expansion,
	const float *const factors[FNX_EXPANSION_DIMS_MAX], double square, float sign,
	void *coefficients)
{
	const uint32_t n = expansion->n_of_level[level_of(square)], n_wide = expansion->n_wide;
	_Alignas(FNX_LANES_ALIGN) float inner[FNX_EXPANSION_PAIRS];
	float outer[FNX_EXPANSION_PAIRS];
	const struct loops *loops = loops_of(expansion);
	double *wide = coefficients;

	multiply(expansion, factors, sign, outer, inner);
	loops->add_wide(expansion, n < n_wide ? n : n_wide, outer, inner, wide);
	loops->add_products(expansion, n_wide, n, outer, inner, (float *)(wide + 8 * n_wide));
}

static bool is_trusted(const struct fnx_expansion *expansion, uint32_t n, const void *coefficients,
	const double *squares, const double *sums)
{
	double sum = 0.0, mean = 0.0, most = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		const char *set = (const char *)coefficients + (size_t)i * expansion->set_size;

		sum += sums[i];
		mean += *(const double *)set;
		most = fmax(most, squares[i]);
	}
	return isfinite(sum) && sum >= SUM_MIN && mean <= MEAN_MAX * sum &&
		most <= LAST_MAX * sum * LAST_MAX * sum;
}

bool fnx_expansion_sums(const struct fnx_expansion *expansion, const double *point, uint32_t n,
	const void *coefficients, float *terms, double *work, double *ret_sums)
{
	_Alignas(FNX_LANES_ALIGN) float inner[FNX_EXPANSION_PAIRS];
	float outer[FNX_EXPANSION_PAIRS];
	float values[FNX_EXPANSION_DIMS_MAX][FNX_EXPANSION_DEGREES];
	const float *const rows[FNX_EXPANSION_DIMS_MAX] = {
		values[0], values[1], values[2], values[3]};
	const struct loops *loops = loops_of(expansion);

	for (uint32_t d = 0; d < expansion->n_dims; d++) {
		double value = 1.0, next = point[d];

		for (uint32_t k = 0; k < FNX_EXPANSION_DEGREES; k++) {
			const double after = 2.0 * point[d] * next - value;

			values[d][k] = (float)value;
			value = next;
			next = after;
		}
	}
	memset(terms, 0, expansion->n_terms * sizeof(float));
	multiply(expansion, rows, 1.0f, outer, inner);
	loops->add_products(expansion, 0, expansion->n_octets, outer, inner, terms);
	loops->sum_all(expansion, n, terms, coefficients, ret_sums, work);
	return is_trusted(expansion, n, coefficients, work, ret_sums);
}
