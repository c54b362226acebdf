"""Numbers of the generator behind tf.random, made from the papers' definitions; as a Lua table by seed."""

MASK = 2**64 - 1


def splitmix64(state):
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def xorshift64star(state):
    state ^= state >> 12
    state ^= state << 25 & MASK
    state ^= state >> 27
    return state, state * 0x2545F4914F6CDD1D & MASK


assert splitmix64(1234567) == 6457827717110365317  # the published test vector

print("return {")
for seed in (0, 1, 2, 1234567, 999999999999999):
    state = splitmix64(seed)
    numbers = []
    for _ in range(20):
        state, output = xorshift64star(state)
        numbers.append(output >> 11)
    print("[%d] = { %s }," % (seed, ", ".join(map(str, numbers))))
print("}")
