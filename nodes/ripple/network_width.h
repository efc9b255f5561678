/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arithmetic of network.c for one width of number: included twice, with REAL (float, double),
 * NAME(x) (x with the width's ending) and GEMM (CBLAS's product).
 */

/* c = bias + a * weights; c is written in full before CBLAS adds to it. */
static void NAME(multiply)(const struct op *op, const REAL *a, REAL *c)
{
	uint32_t n_out = op->output.n_channels;

	for (uint32_t i = 0; i < op->n_rows; i++)
		memcpy(c + (size_t)i * n_out, op->bias, n_out * sizeof(REAL));
	GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)op->n_rows, (int)n_out,
		(int)op->n_terms, 1, a, (int)op->row_stride, op->weights, (int)n_out, 1, c,
		(int)n_out);
}

/* The columns of a convolution: for each place of the output what the kernel covers there, zeros
 * where that is outside. */
static void NAME(gather)(const struct op *op, const REAL *restrict x, REAL *restrict columns)
{
	struct fnx_network_shape in = op->input, out = op->output;
	size_t n = in.n_channels;

	for (uint32_t i = 0; i < out.height; i++)
		for (uint32_t j = 0; j < out.width; j++)
			for (uint32_t k = 0; k < op->height; k++) {
				int64_t y = (int64_t)i * op->stride_height + k - op->pad_top;

				for (uint32_t l = 0; l < op->width; l++, columns += n) {
					int64_t z =
						(int64_t)j * op->stride_width + l - op->pad_left;

					if (y >= 0 && y < in.height && z >= 0 && z < in.width)
						memcpy(columns,
							x + ((size_t)y * in.width + (size_t)z) * n,
							n * sizeof(REAL));
					else
						memset(columns, 0, n * sizeof(REAL));
				}
			}
}

/* Largest of what a pool covers; a NAN among it stays. */
static void NAME(take_largest)(
	const struct op *op, const REAL *restrict x, REAL *restrict y, uint32_t i, uint32_t j)
{
	size_t n = op->input.n_channels;
	bool first = true;

	for (uint32_t k = 0; k < op->height; k++)
		for (uint32_t l = 0; l < op->width; l++) {
			int64_t row = (int64_t)i * op->stride_height + k - op->pad_top;
			int64_t column = (int64_t)j * op->stride_width + l - op->pad_left;
			const REAL *from;

			if (row < 0 || row >= op->input.height || column < 0 ||
				column >= op->input.width)
				continue;
			from = x + ((size_t)row * op->input.width + (size_t)column) * n;
			for (size_t c = 0; c < n; c++)
				y[c] = first || !(from[c] <= y[c]) ? from[c] : y[c];
			first = false;
		}
}

static void NAME(pool)(const struct op *op, const REAL *x, REAL *y)
{
	for (uint32_t i = 0; i < op->output.height; i++)
		for (uint32_t j = 0; j < op->output.width; j++, y += op->output.n_channels)
			NAME(take_largest)(op, x, y, i, j);
}

VECTOR
static void NAME(relu)(REAL *restrict x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] < 0 ? 0 : x[i];
}

VECTOR
static void NAME(leaky_relu)(REAL *restrict x, size_t n, REAL slope)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] < 0 ? slope * x[i] : x[i];
}

static void NAME(activate)(const struct step *step, REAL *x, size_t n)
{
	switch (step->activation) {
	case FNX_NETWORK_RELU:
		NAME(relu)(x, n);
		break;
	case FNX_NETWORK_LEAKY_RELU:
		NAME(leaky_relu)(x, n, (REAL)step->slope);
		break;
	case FNX_NETWORK_SIGMOID:
		for (size_t i = 0; i < n; i++)
			x[i] = (REAL)(1 / (1 + exp(-(double)x[i])));
		break;
	default:
		break;
	}
}

static void NAME(scale)(const struct step *step, REAL *x, size_t n_places, uint32_t n_channels)
{
	const REAL *factor = step->factor, *term = step->term;

	for (size_t i = 0; i < n_places; i++, x += n_channels)
		for (uint32_t c = 0; c < n_channels; c++)
			x[c] = x[c] * factor[c] + term[c];
}

static void NAME(finish)(const struct op *op, REAL *x)
{
	size_t n_places = (size_t)op->output.height * op->output.width;

	for (uint32_t i = 0; i < op->n_steps; i++) {
		const struct step *step = &op->steps[i];

		if (step->factor)
			NAME(scale)(step, x, n_places, op->output.n_channels);
		else
			NAME(activate)(step, x, n_places * op->output.n_channels);
	}
}

static void NAME(run)(struct fnx_network *network, const double *input, double *ret_output)
{
	REAL *columns = fnx_scratch_loan(&network->columns, network->n_columns * sizeof(REAL));
	REAL *x = fnx_scratch_loan(&network->products, 2 * network->n_products * sizeof(REAL));
	REAL *y = x + network->n_products;
	size_t n = fnx_network_values(network->input);

	for (size_t i = 0; i < n; i++)
		x[i] = (REAL)input[i];
	for (uint32_t i = 0; i < network->n_ops; i++) {
		const struct op *op = &network->ops[i];
		REAL *from = x;

		if (op->gathers)
			NAME(gather)(op, x, from = columns);
		if (op->kind == FNX_NETWORK_MAX_POOLING)
			NAME(pool)(op, x, y);
		else if (op->kind == FNX_NETWORK_CONVOLUTION)
			NAME(multiply)(op, from, y);
		else /* nothing but steps: a network that begins with one */
			memcpy(y, x, fnx_network_values(op->output) * sizeof(REAL));
		NAME(finish)(op, y);
		from = x;
		x = y;
		y = from;
	}
	n = fnx_network_values(network->output);
	for (size_t i = 0; i < n; i++)
		ret_output[i] = (double)x[i];
}
