// SPDX-License-Identifier: BSD-3-Clause
// The graph as a oneTBB flow graph. It has no dependencies by memory: the edges are found here, as its users must find
// them, and that is part of the time. A graph is built in pieces, since one of all tasks would keep every node.
#include <chrono>
#include <deque>
#include <vector>

#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>

#include "tests/bench/bench_graphs.h"

namespace
{

using node = oneapi::tbb::flow::continue_node<oneapi::tbb::flow::continue_msg>;

void run_piece(const graph_task *tasks, uint64_t n, graph_cell *cells)
{
	oneapi::tbb::flow::graph graph;
	oneapi::tbb::flow::broadcast_node<oneapi::tbb::flow::continue_msg> start(graph);
	std::deque<node> nodes;
	std::vector<node *> writer(GRAPH_CELLS, nullptr);
	std::vector<std::vector<node *>> readers(GRAPH_CELLS);

	for (uint64_t i = 0; i < n; i++) {
		const graph_task task = tasks[i];
		bool waits = false;

		nodes.emplace_back(graph, [task, cells](const oneapi::tbb::flow::continue_msg &) {
			cells[task.out].value = graph_step(cells[task.in[0]].value, cells[task.in[1]].value);
		});
		node *it = &nodes.back();
		auto after = [&](node *other) {
			if (other) {
				oneapi::tbb::flow::make_edge(*other, *it);
				waits = true;
			}
		};
		for (uint32_t in : task.in)
			after(writer[in]);
		if (readers[task.out].empty())
			after(writer[task.out]);
		for (node *reader : readers[task.out])
			after(reader);
		readers[task.out].clear();
		writer[task.out] = it;
		for (uint32_t in : task.in)
			readers[in].push_back(it);
		if (!waits)
			oneapi::tbb::flow::make_edge(start, *it);
	}
	start.try_put(oneapi::tbb::flow::continue_msg());
	graph.wait_for_all();
}

} // namespace

extern "C" double graph_onetbb(const graph_task *tasks, uint64_t n, graph_cell *cells, unsigned n_workers)
{
	oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism, n_workers + 1);
	const uint64_t piece = 1024;
	auto begun = std::chrono::steady_clock::now();

	for (uint64_t i = 0; i < n; i += piece)
		run_piece(tasks + i, n - i < piece ? n - i : piece, cells);
	return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun).count();
}
