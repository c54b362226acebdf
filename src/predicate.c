#include "predicate.h"

#include <stdlib.h>
#include <string.h>

enum {
	INSNS_MAX = 4096,
	TESTS_MAX = 16384, /* of one program */
	DEPTH_MAX = 1500,  /* branches in a row, a frame of the stack each */
	PENDING_MAX = 8
};

/* What the machine's registers and memory hold: values' numbers. */
struct machine {
	uint32_t a, x, m[BPF_MEMWORDS];
};

/* Which of them are read before they are written, from an instruction on. */
struct live {
	uint8_t a, x;
	uint16_t m;
};

/* What an instruction was translated to, for a state of the machine. */
struct memo {
	struct memo *next;
	struct machine machine;
	uint32_t test;
};

struct translation {
	struct tf_graph *graph;
	const struct bpf_insn *insns;
	uint32_t count;
	uint32_t program;
	uint32_t first_test; /* of this program */
	struct live *live;   /* count + 1 of them */
	struct memo **memos; /* a list an instruction */
	int depth;
};

int tf_value_compute(uint16_t op, uint32_t a, uint32_t b, uint32_t *result)
{
	switch (op) {
	case BPF_ADD:
		*result = a + b;
		return 0;
	case BPF_SUB:
		*result = a - b;
		return 0;
	case BPF_MUL:
		*result = a * b;
		return 0;
	case BPF_DIV:
		*result = b ? a / b : 0;
		return b ? 0 : -1;
	case BPF_MOD:
		*result = b ? a % b : 0;
		return b ? 0 : -1;
	case BPF_AND:
		*result = a & b;
		return 0;
	case BPF_OR:
		*result = a | b;
		return 0;
	case BPF_XOR:
		*result = a ^ b;
		return 0;
	case BPF_LSH:
		*result = b < 32 ? a << b : 0;
		return 0;
	case BPF_RSH:
		*result = b < 32 ? a >> b : 0;
		return 0;
	case TF_OP_GREATER:
		*result = a > b;
		return 0;
	case TF_OP_GREATER_EQUAL:
		*result = a >= b;
		return 0;
	}
	return -1;
}

/* Grows an array to hold one more. 0 or -1. */
static int reserve(void *array, uint32_t count, uint32_t *room, size_t size)
{
	void *grown, *old;
	uint32_t wanted = *room ? *room * 2 : 32;

	if (count < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, wanted * size);
	if (!grown)
		return -1;
	memcpy(array, &grown, sizeof(grown));
	*room = wanted;
	return 0;
}

static int same_value(const struct tf_value *v, const struct tf_value *w)
{
	return v->form == w->form && v->size == w->size && v->op == w->op && v->at == w->at &&
	       v->base == w->base && v->mask == w->mask && v->a == w->a && v->b == w->b;
}

/* The value's number to *number, the same for equal ones. 0 or -1. */
static int intern(struct tf_graph *graph, struct tf_value value, uint32_t *number)
{
	for (*number = 0; *number < graph->value_count; ++*number)
		if (same_value(&graph->values[*number], &value))
			return 0;
	if (reserve(&graph->values, graph->value_count, &graph->value_room, sizeof(value)))
		return -1;
	graph->values[graph->value_count++] = value;
	return 0;
}

static int constant(struct tf_graph *graph, uint32_t k, uint32_t *number)
{
	return intern(graph, (struct tf_value){.form = TF_VALUE_CONST, .at = k}, number);
}

/* Whether a value is 4 * ([base] & 0xf), the length of an IPv4 header. */
static int is_header_length(const struct tf_graph *graph, const struct tf_value *value,
			    uint32_t *base)
{
	const struct tf_value *field, *shift;

	if (value->form != TF_VALUE_ALU || value->op != BPF_LSH)
		return 0;
	field = &graph->values[value->a];
	shift = &graph->values[value->b];
	*base = field->at;
	return field->form == TF_VALUE_FIELD && field->size == 1 && field->mask == 0xf &&
	       shift->form == TF_VALUE_CONST && shift->at == 2;
}

static int load(struct tf_graph *graph, uint8_t size, uint32_t at, uint32_t index, uint32_t *number)
{
	struct tf_value value = {.form = TF_VALUE_INDEX, .size = size, .at = at, .a = index};
	const struct tf_value *by = &graph->values[index];

	value.mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
	if (by->form == TF_VALUE_CONST && by->at <= INT32_MAX && at <= INT32_MAX) {
		value.form = TF_VALUE_FIELD;
		value.at += by->at;
		value.a = 0;
	} else if (is_header_length(graph, by, &value.base)) {
		value.form = TF_VALUE_BEHIND;
		value.a = 0;
	} else {
		value.base = 0;
	}
	return intern(graph, value, number);
}

static int is_field(const struct tf_value *value)
{
	return value->form == TF_VALUE_FIELD || value->form == TF_VALUE_BEHIND ||
	       value->form == TF_VALUE_INDEX;
}

static int compute(struct tf_graph *graph, uint16_t op, uint32_t a, uint32_t b, uint32_t *number)
{
	struct tf_value value = {.form = TF_VALUE_ALU, .op = op, .a = a, .b = b};
	const struct tf_value *left = &graph->values[a], *right = &graph->values[b];
	uint32_t result;

	if (left->form == TF_VALUE_CONST && right->form == TF_VALUE_CONST) {
		if (tf_value_compute(op, left->at, right->at, &result))
			return -1;
		return constant(graph, result, number);
	}
	if (op == BPF_AND && right->form == TF_VALUE_CONST && is_field(left)) {
		value = *left;
		value.mask &= right->at;
	}
	return intern(graph, value, number);
}

static int emit(struct translation *t, struct tf_test test, uint32_t *number)
{
	struct tf_graph *graph = t->graph;

	if (graph->test_count == 0)
		graph->test_count = t->first_test = TF_TEST_FIRST;
	if (graph->test_count - t->first_test >= TESTS_MAX ||
	    reserve(&graph->tests, graph->test_count, &graph->test_room, sizeof(test)))
		return -1;
	test.program = t->program;
	*number = graph->test_count++;
	graph->tests[*number] = test;
	return 0;
}

/* What an instruction reads and writes, given what is read behind it. */
static struct live before(const struct bpf_insn *insn, struct live live)
{
	uint16_t word = (uint16_t)(1u << insn->k % BPF_MEMWORDS);

	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
		live.a = 0;
		if (BPF_MODE(insn->code) == BPF_IND)
			live.x = 1;
		else if (BPF_MODE(insn->code) == BPF_MEM)
			live.m |= word;
		break;
	case BPF_LDX:
		live.x = 0;
		if (BPF_MODE(insn->code) == BPF_MEM)
			live.m |= word;
		break;
	case BPF_ST:
	case BPF_STX:
		live.m &= (uint16_t)~word;
		*(BPF_CLASS(insn->code) == BPF_ST ? &live.a : &live.x) = 1;
		break;
	case BPF_JMP:
	case BPF_ALU:
		live.a |= insn->code != (BPF_JMP | BPF_JA);
		live.x |= insn->code != (BPF_JMP | BPF_JA) && BPF_SRC(insn->code) == BPF_X &&
			  insn->code != (BPF_ALU | BPF_NEG);
		break;
	case BPF_RET:
		live = (struct live){.a = BPF_RVAL(insn->code) == BPF_A};
		break;
	case BPF_MISC:
		if (BPF_MISCOP(insn->code) == BPF_TAX) {
			live.x = 0;
			live.a = 1;
		} else {
			live.a = 0;
			live.x = 1;
		}
		break;
	}
	return live;
}

/* Fills t->live; -1 for a program that jumps back or out. */
static int find_live(struct translation *t)
{
	for (uint32_t pc = t->count; pc-- > 0;) {
		const struct bpf_insn *insn = &t->insns[pc];
		struct live behind = t->live[pc + 1];

		if (insn->code == (BPF_JMP | BPF_JA)) {
			if (insn->k >= t->count - pc - 1)
				return -1;
			behind = t->live[pc + 1 + insn->k];
		} else if (BPF_CLASS(insn->code) == BPF_JMP) {
			const struct live *yes, *no;

			if (insn->jt >= t->count - pc - 1 || insn->jf >= t->count - pc - 1)
				return -1;
			yes = &t->live[pc + 1 + insn->jt];
			no = &t->live[pc + 1 + insn->jf];
			behind.a = yes->a | no->a;
			behind.x = yes->x | no->x;
			behind.m = yes->m | no->m;
		}
		t->live[pc] = before(insn, behind);
	}
	return 0;
}

/* Whether looking at a value loads the field `part`, whatever bits of it count. */
static int contains(const struct tf_graph *graph, uint32_t number, uint32_t part)
{
	struct tf_value field = graph->values[part];
	const struct tf_value *value = &graph->values[number];

	field.mask = value->mask;
	if (same_value(value, &field))
		return 1;
	if (value->form == TF_VALUE_INDEX)
		return contains(graph, value->a, part);
	return value->form == TF_VALUE_ALU &&
	       (contains(graph, value->a, part) || contains(graph, value->b, part));
}

/*
 * Loads and divisions that have been met and that no test has looked at: BPF rejects a packet where
 * one fails.
 */
struct pending {
	uint32_t values[PENDING_MAX];
	int count;
};

static int add_pending(const struct tf_graph *graph, struct pending *pending, uint32_t number)
{
	const struct tf_value *value = &graph->values[number];

	if (!is_field(value) && value->op != BPF_DIV && value->op != BPF_MOD)
		return 0;
	if (pending->count == PENDING_MAX)
		return -1;
	pending->values[pending->count++] = number;
	return 0;
}

/* Puts tests that the pending loads succeed in front of a test of `value` (or none: UINT32_MAX). */
static int check_pending(struct translation *t, const struct pending *pending, uint32_t value,
			 uint32_t *test)
{
	if (*test == TF_TEST_REJECT)
		return 0;
	for (int i = 0; i < pending->count; i++) {
		uint32_t number = pending->values[i];

		if (value != UINT32_MAX && contains(t->graph, value, number))
			continue;
		if (emit(t, (struct tf_test){.value = number, .yes = *test, .no = *test, .least = 1}, test))
			return -1;
	}
	return 0;
}

static int follow(struct translation *t, uint32_t pc, struct machine machine, uint32_t *test);

/* The test of a jump, in which both ways go on. */
static int branch(struct translation *t, uint32_t pc, const struct machine *machine,
		  const struct pending *pending, uint32_t *test)
{
	const struct bpf_insn *insn = &t->insns[pc];
	struct tf_graph *graph = t->graph;
	struct tf_test made = {.value = machine->a, .k = insn->k};
	const struct tf_value *value;
	uint32_t yes, no, right, ways[2];
	int swap = 0, outcome = -1;

	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		if (BPF_SRC(insn->code) == BPF_X) {
			if (compute(graph, BPF_XOR, machine->a, machine->x, &made.value))
				return -1;
			made.k = 0;
		}
		break;
	case BPF_JSET:
		right = machine->x;
		if ((BPF_SRC(insn->code) == BPF_K && constant(graph, insn->k, &right)) ||
		    compute(graph, BPF_AND, machine->a, right, &made.value))
			return -1;
		made.k = 0;
		swap = 1;
		break;
	case BPF_JGT:
	case BPF_JGE:
		made.least = 1;
		if (BPF_SRC(insn->code) == BPF_X) {
			uint16_t op = BPF_OP(insn->code) == BPF_JGT ? TF_OP_GREATER : TF_OP_GREATER_EQUAL;

			if (compute(graph, op, machine->a, machine->x, &made.value))
				return -1;
			made.k = 1;
		} else if (BPF_OP(insn->code) == BPF_JGT) {
			if (made.k == UINT32_MAX)
				outcome = 0;
			made.k++;
		}
		break;
	default:
		return -1;
	}
	value = &graph->values[made.value];
	if (outcome < 0 && value->form == TF_VALUE_CONST)
		outcome = (made.least ? value->at >= made.k : value->at == made.k);
	if (outcome >= 0) {
		uint8_t jump = outcome != swap ? insn->jt : insn->jf;

		return follow(t, pc + 1 + jump, *machine, test) ||
		       check_pending(t, pending, UINT32_MAX, test);
	}
	if (follow(t, pc + 1 + insn->jt, *machine, &yes) ||
	    follow(t, pc + 1 + insn->jf, *machine, &no))
		return -1;
	ways[0] = swap ? no : yes;
	ways[1] = swap ? yes : no;
	made.yes = ways[0];
	made.no = ways[1];
	return emit(t, made, test) || check_pending(t, pending, made.value, test);
}

/* The end: what the program returns. */
static int finish(struct translation *t, const struct bpf_insn *insn, const struct machine *machine,
		  const struct pending *pending, uint32_t *test)
{
	const struct tf_value *value = &t->graph->values[machine->a];
	struct tf_test made = {.value = machine->a, .yes = TF_TEST_REJECT, .no = TF_TEST_ACCEPT};

	if (BPF_RVAL(insn->code) == BPF_K)
		*test = insn->k ? TF_TEST_ACCEPT : TF_TEST_REJECT;
	else if (value->form == TF_VALUE_CONST)
		*test = value->at ? TF_TEST_ACCEPT : TF_TEST_REJECT;
	else if (emit(t, made, test))
		return -1;
	return check_pending(t, pending, UINT32_MAX, test);
}

/* A load of either register: the value's number to *to. */
static int load_insn(struct translation *t, const struct bpf_insn *insn,
		     const struct machine *machine, struct pending *pending, uint32_t *to)
{
	struct tf_graph *graph = t->graph;
	static const uint8_t sizes[4] = {4, 2, 1, 0};
	uint8_t size = sizes[BPF_SIZE(insn->code) >> 3];
	uint32_t number;

	switch (BPF_MODE(insn->code)) {
	case BPF_IMM:
		return constant(graph, insn->k, to);
	case BPF_LEN:
		return intern(graph, (struct tf_value){.form = TF_VALUE_LENGTH}, to);
	case BPF_MEM:
		*to = machine->m[insn->k % BPF_MEMWORDS];
		return insn->k < BPF_MEMWORDS ? 0 : -1;
	case BPF_ABS:
		if (size == 0 || constant(graph, 0, &number))
			return -1;
		return load(graph, size, insn->k, number, to) || add_pending(graph, pending, *to);
	case BPF_IND:
		if (size == 0)
			return -1;
		return load(graph, size, insn->k, machine->x, to) || add_pending(graph, pending, *to);
	case BPF_MSH:
		if (constant(graph, 0, &number) || load(graph, 1, insn->k, number, to) ||
		    add_pending(graph, pending, *to) || constant(graph, 0xf, &number) ||
		    compute(graph, BPF_AND, *to, number, to) || constant(graph, 2, &number))
			return -1;
		return compute(graph, BPF_LSH, *to, number, to);
	}
	return -1;
}

static int alu_insn(struct translation *t, const struct bpf_insn *insn, struct machine *machine,
		    struct pending *pending)
{
	uint16_t op = BPF_OP(insn->code);
	uint32_t right = machine->x, zero;

	if (op == BPF_NEG)
		return constant(t->graph, 0, &zero) ||
		       compute(t->graph, BPF_SUB, zero, machine->a, &machine->a);
	if (BPF_SRC(insn->code) == BPF_K) {
		if ((insn->k == 0 && (op == BPF_DIV || op == BPF_MOD)) ||
		    (insn->k > 31 && (op == BPF_LSH || op == BPF_RSH)))
			return -1;
		if (constant(t->graph, insn->k, &right))
			return -1;
	}
	return compute(t->graph, op, machine->a, right, &machine->a) ||
	       add_pending(t->graph, pending, machine->a);
}

static int run_insns(struct translation *t, uint32_t pc, struct machine machine, uint32_t *test)
{
	struct pending pending = {.count = 0};

	for (;; pc++) {
		const struct bpf_insn *insn = &t->insns[pc];
		int err = 0;

		if (pc >= t->count)
			return -1;
		switch (BPF_CLASS(insn->code)) {
		case BPF_LD:
			err = load_insn(t, insn, &machine, &pending, &machine.a);
			break;
		case BPF_LDX:
			err = load_insn(t, insn, &machine, &pending, &machine.x);
			break;
		case BPF_ST:
		case BPF_STX:
			if (insn->k >= BPF_MEMWORDS)
				return -1;
			machine.m[insn->k] = BPF_CLASS(insn->code) == BPF_ST ? machine.a : machine.x;
			break;
		case BPF_ALU:
			err = alu_insn(t, insn, &machine, &pending);
			break;
		case BPF_MISC:
			if (BPF_MISCOP(insn->code) == BPF_TAX)
				machine.x = machine.a;
			else
				machine.a = machine.x;
			break;
		case BPF_RET:
			return finish(t, insn, &machine, &pending, test);
		case BPF_JMP:
			if (insn->code != (BPF_JMP | BPF_JA))
				return branch(t, pc, &machine, &pending, test);
			pc += insn->k;
			break;
		}
		if (err)
			return -1;
	}
}

/* The test that stands for the program from an instruction on. */
static int follow(struct translation *t, uint32_t pc, struct machine machine, uint32_t *test)
{
	const struct live *live = &t->live[pc];
	struct memo *memo;

	machine.a = live->a ? machine.a : 0;
	machine.x = live->x ? machine.x : 0;
	for (unsigned i = 0; i < BPF_MEMWORDS; i++)
		machine.m[i] = live->m >> i & 1 ? machine.m[i] : 0;
	for (memo = t->memos[pc]; memo; memo = memo->next) {
		if (memcmp(&memo->machine, &machine, sizeof(machine)) == 0) {
			*test = memo->test;
			return 0;
		}
	}
	if (t->depth == DEPTH_MAX)
		return -1;
	t->depth++;
	if (run_insns(t, pc, machine, test))
		return -1;
	t->depth--;
	memo = malloc(sizeof(*memo));
	if (!memo)
		return -1;
	*memo = (struct memo){t->memos[pc], machine, *test};
	t->memos[pc] = memo;
	return 0;
}

int tf_graph_add(struct tf_graph *graph, const struct bpf_program *bpf, uint32_t program,
		 uint32_t *root)
{
	struct translation t = {.graph = graph,
				.insns = bpf->bf_insns,
				.count = bpf->bf_len,
				.program = program,
				.first_test = graph->test_count};
	struct machine machine = {0};
	int status = -1;

	if (t.count == 0 || t.count > INSNS_MAX)
		return -1;
	t.live = calloc(t.count + 1, sizeof(*t.live));
	t.memos = calloc(t.count, sizeof(*t.memos));
	/* All registers begin as 0, which is value 0. */
	if (t.live && t.memos && !find_live(&t) && !constant(graph, 0, &machine.a) && machine.a == 0)
		status = follow(&t, 0, machine, root);
	for (uint32_t i = 0; t.memos && i < t.count; i++) {
		while (t.memos[i]) {
			struct memo *memo = t.memos[i];

			t.memos[i] = memo->next;
			free(memo);
		}
	}
	free(t.memos);
	free(t.live);
	return status;
}

void tf_graph_free(struct tf_graph *graph)
{
	free(graph->values);
	free(graph->tests);
	*graph = (struct tf_graph){0};
}
