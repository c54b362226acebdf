#include "bounded.h"

#include <stdint.h>

/* width bytes at `at`, in network order: 1 and *value, or 0 where they are not all there. */
static int load(const u_char *bytes, u_int len, uint64_t at, u_int width, uint32_t *value)
{
	if (at > len || width > len - at)
		return 0;
	*value = 0;
	while (width-- > 0)
		*value = *value << 8 | bytes[at++];
	return 1;
}

static u_int width_of(u_int code)
{
	return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
}

/* 1 and *a changed, or 0 for a division by zero. */
static int calculate(u_int operation, uint32_t *a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD:
		*a += b;
		return 1;
	case BPF_SUB:
		*a -= b;
		return 1;
	case BPF_MUL:
		*a *= b;
		return 1;
	case BPF_DIV:
		return b && (*a /= b, 1);
	case BPF_MOD:
		return b && (*a %= b, 1);
	case BPF_AND:
		*a &= b;
		return 1;
	case BPF_OR:
		*a |= b;
		return 1;
	case BPF_XOR:
		*a ^= b;
		return 1;
	case BPF_LSH:
		*a = b < 32 ? *a << b : 0;
		return 1;
	case BPF_RSH:
		*a = b < 32 ? *a >> b : 0;
		return 1;
	default: /* BPF_NEG */
		*a = 0u - *a;
		return 1;
	}
}

static int holds(u_int comparison, uint32_t a, uint32_t b)
{
	return comparison == BPF_JEQ   ? a == b
	       : comparison == BPF_JGT ? a > b
	       : comparison == BPF_JGE ? a >= b
				       : (a & b) != 0;
}

u_int tf_bounded_filter(const struct bpf_program *program, const u_char *bytes, u_int wire_len,
			u_int len)
{
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0}, at = 0;

	for (int step = 0; step < TF_BOUNDED_STEPS && at < program->bf_len; step++) {
		const struct bpf_insn *insn = &program->bf_insns[at++];
		uint32_t operand = BPF_SRC(insn->code) == BPF_X ? x : insn->k, value;

		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			return BPF_RVAL(insn->code) == BPF_A ? a : insn->k;
		case BPF_LD:
		case BPF_LDX:
			switch (BPF_MODE(insn->code)) {
			case BPF_IMM:
				value = insn->k;
				break;
			case BPF_LEN:
				value = wire_len;
				break;
			case BPF_MEM:
				value = memory[insn->k % BPF_MEMWORDS];
				break;
			case BPF_MSH:
				if (!load(bytes, len, insn->k, 1, &value))
					return 0;
				value = (value & 0xf) << 2;
				break;
			default: /* BPF_ABS, BPF_IND */
				if (!load(bytes, len,
					  BPF_MODE(insn->code) == BPF_IND ? (uint64_t)x + insn->k
									  : insn->k,
					  width_of(insn->code), &value))
					return 0;
				break;
			}
			*(BPF_CLASS(insn->code) == BPF_LD ? &a : &x) = value;
			break;
		case BPF_ST:
			memory[insn->k % BPF_MEMWORDS] = a;
			break;
		case BPF_STX:
			memory[insn->k % BPF_MEMWORDS] = x;
			break;
		case BPF_ALU:
			if (!calculate(BPF_OP(insn->code), &a, operand))
				return 0;
			break;
		case BPF_JMP:
			if (BPF_OP(insn->code) == BPF_JA)
				at += insn->k; /* backward: k wraps around */
			else
				at += holds(BPF_OP(insn->code), a, operand) ? insn->jt : insn->jf;
			break;
		default: /* BPF_MISC */
			if (BPF_MISCOP(insn->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		}
	}
	return 0;
}
