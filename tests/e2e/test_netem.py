"""tunfilter.netem against theory: 100,000 packets through `replay`, with a seed, so that each run is the same.

Limits are such that a right implementation fails with less than one seed in ten thousand.
"""

import math
import random
import re
import struct

import harness

COUNT = 100_000
SEED = 7


def packet(number, size=60):
    """An IPv4 UDP datagram of `size` bytes, 32 at least, with its number in the first four bytes of its payload."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, bytes([10, 77, 0, 1]), bytes([10, 77, 0, 2]))
    return ip + struct.pack("!HHHH", 1000, 2000, size - 20, 0) + struct.pack("!I", number) + bytes(size - 32)


def write(path, packets):
    """A capture in nanoseconds, of raw IP packets: pairs of time in nanoseconds and bytes."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 101))
        for time, data in packets:
            file.write(struct.pack("<IIII", time // 10**9, time % 10**9, len(data), len(data)) + data)
    path.chmod(0o644)


def read(path):
    data = path.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xA1B23C4D
    at, packets = 24, []
    while at < len(data):
        seconds, nanoseconds, length, original = struct.unpack_from("<IIII", data, at)
        assert length == original
        packets.append((seconds * 10**9 + nanoseconds, data[at + 16:at + 16 + length]))
        at += 16 + length
    return packets


def number_of(data):
    return struct.unpack_from("!I", data, 28)[0]


def evenly(count=COUNT, gap=100_000, size=60):
    """Packets with `gap` nanoseconds between them."""
    return [(i * gap, packet(i, size)) for i in range(count)]


def replay(place, settings, packets, seed=SEED, check=True):
    """What comes out of netem{settings}, and standard error."""
    script = place.script("""
        local tf = require "tunfilter"
        local netem = require "tunfilter.netem"
        tf.on_packet(netem{ %s })
    """ % settings)
    given, got = place.path / "given.pcap", place.path / "got.pcap"
    write(given, packets)
    got.unlink(missing_ok=True)
    options = [] if seed is None else ["--seed", seed]
    done = harness.run(place, "replay", script, given, got, *options)
    assert done.returncode == 0, done.stderr
    return read(got)


def binomial(got, count, chance):
    assert abs(got - count * chance) <= 4 * math.sqrt(count * chance * (1 - chance)), (got, count * chance)


def chi_square(observed, expected):
    """observed and expected counts a class; the normal approximation of Wilson and Hilferty, 4 sigma."""
    assert min(expected) >= 5, expected
    value = sum((o - e) ** 2 / e for o, e in zip(observed, expected))
    freedom = len(expected) - 1
    z = ((value / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert z < 4, (value, freedom, z)


def geometric(lengths, chance):
    """Whether lengths from 1 on are of the geometric distribution."""
    expected, observed, rest, i = [], [], len(lengths), 1
    while rest * min(chance, 1 - chance) >= 5 and len(expected) < 30:
        expected.append(rest * chance)
        observed.append(sum(length == i for length in lengths))
        rest *= 1 - chance
        i += 1
    chi_square(observed + [sum(length >= i for length in lengths)], expected + [rest])


def kolmogorov_smirnov(values, distribution):
    values = sorted(values)
    n = len(values)
    d = max(max((i + 1) / n - distribution(v), distribution(v) - i / n) for i, v in enumerate(values))
    assert d < 2.23 / math.sqrt(n), d  # exceeded with a chance of 1e-4


def independent(values):
    """No correlation of neighbours."""
    mean = sum(values) / len(values)
    centred = [v - mean for v in values]
    r = sum(a * b for a, b in zip(centred, centred[1:])) / sum(v * v for v in centred)
    assert abs(r) < 4 / math.sqrt(len(values)), r


def runs(flags):
    """The lengths of whole runs of true values, and of false ones."""
    lengths, last, start = {True: [], False: []}, flags[0], 0
    for i, flag in enumerate(flags):
        if flag != last:
            lengths[last].append(i - start)
            last, start = flag, i
    return lengths[True], lengths[False]


def lost_of(packets, got):
    """True for each packet that did not come out; the others did, once, unchanged, and in order."""
    numbers = {number_of(data) for _, data in got}
    assert got == [entry for i, entry in enumerate(packets) if i in numbers]
    return [i not in numbers for i in range(len(packets))]


def delays_of(packets, got):
    """Nanoseconds, in the order of the packets, all of which came out once and unchanged, in the order of time."""
    assert [time for time, _ in got] == sorted(time for time, _ in got)
    times = {number_of(data): time for time, data in got}
    assert sorted(data for _, data in got) == [data for _, data in packets]
    return [times[i] - time for i, (time, _) in enumerate(packets)]


def test_nothing_is_done_without_parameters(place):
    packets = evenly(1000)
    assert replay(place, "", packets) == packets
    assert replay(place, "delay = 0, loss = 0, corrupt = 0, limit = 1", packets) == packets


def test_loss(place):
    packets = evenly()
    lost = lost_of(packets, replay(place, "loss = 0.03", packets))
    binomial(sum(lost), COUNT, 0.03)
    bursts, gaps = runs(lost)
    geometric(bursts, 0.97)
    geometric(gaps, 0.03)


def test_loss_of_all(place):
    assert replay(place, "loss = 1", evenly(1000)) == []


def test_bursts_of_gilbert(place):
    packets = evenly()
    p, r = 0.02, 0.25
    lost = lost_of(packets, replay(place, "loss = { p = %g, r = %g }" % (p, r), packets))
    bursts, gaps = runs(lost)
    geometric(bursts, r)
    geometric(gaps, p)
    assert abs(sum(bursts) / len(bursts) - 1 / r) < 4 * math.sqrt((1 - r) / r**2 / len(bursts))


def test_bursts_with_p_alone_are_plain_loss(place):
    packets = evenly()
    lost = lost_of(packets, replay(place, "loss = { p = 0.1 }", packets))
    binomial(sum(lost), COUNT, 0.1)
    geometric(runs(lost)[0], 0.9)


def test_bursts_of_gilbert_and_elliott(place):
    """Loss as often as the chain's stationary distribution says, and behind a loss as often as in the model."""
    packets = evenly()
    p, r, h, k = 0.05, 0.2, 0.3, 0.99
    lost = lost_of(packets, replay(place, "loss = { p = %g, r = %g, h = %g, k = %g }" % (p, r, h, k), packets))
    bad = p / (p + r)
    rate = bad * (1 - h) + (1 - bad) * (1 - k)
    # Losses of one chain: their variance grows by what neighbours have in common, 1 - p - r a step.
    memory = bad * (1 - bad) * (k - h) ** 2 * 2 * (1 - p - r) / (p + r)
    assert abs(sum(lost) - COUNT * rate) < 4 * math.sqrt(COUNT * (rate * (1 - rate) + memory))
    both = sum(a and b for a, b in zip(lost, lost[1:]))
    expected = bad * (1 - h) * ((1 - r) * (1 - h) + r * (1 - k)) + (1 - bad) * (1 - k) * (p * (1 - h) + (1 - p) * (1 - k))
    assert abs(both / COUNT / expected - 1) < 0.06, (both, expected * COUNT)


def test_delay(place):
    packets = evenly()
    assert set(delays_of(packets, replay(place, "delay = 0.05", packets))) == {50_000_000}


def test_jitter(place):
    packets = evenly()
    delays = delays_of(packets, replay(place, "delay = 0.02, jitter = 0.005", packets))
    assert 15e6 - 1 <= min(delays) and max(delays) <= 25e6 + 1
    kolmogorov_smirnov(delays, lambda v: min(max((v - 15e6) / 10e6, 0), 1))
    independent(delays)


def test_jitter_of_the_normal_distribution(place):
    packets = evenly()
    delays = delays_of(packets, replay(place, 'delay = 0.05, jitter = 0.005, distribution = "normal"', packets))
    kolmogorov_smirnov(delays, lambda v: (1 + math.erf((v - 50e6) / 5e6 / math.sqrt(2))) / 2)
    independent(delays)


def test_jitter_is_never_a_step_back_in_time(place):
    packets = evenly()
    delays = delays_of(packets, replay(place, "delay = 0.001, jitter = 0.003", packets))
    binomial(sum(delay == 0 for delay in delays), COUNT, 1 / 3)
    kolmogorov_smirnov([delay for delay in delays if delay > 0], lambda v: v / 4e6)


def test_rate(place):
    """The times at which packets have left a link of 10 Mbit/s, to the nanosecond."""
    chance = random.Random(SEED)
    time, packets = 0, []
    for i in range(COUNT):
        time += chance.choice([0, 1000, 200_000, 900_000])
        packets.append((time, packet(i, chance.randint(32, 500))))
    for settings, delay in (('rate = "10mbit", limit = 65536', 0), ('rate = 1e7, delay = 0.003, limit = 65536', 3_000_000)):
        got = replay(place, settings, packets)
        free = 0
        assert len(got) == COUNT
        for (time, data), (left, same) in zip(packets, got):
            free = max(free, time + delay) + len(data) * 800
            assert data == same and abs(left - free) <= 1, (number_of(data), left, free)


def test_rate_with_jitter(place):
    """A delay below nothing does not let a packet's bits go before it is there."""
    packets = evenly(5000, gap=10_000_000)
    delays = delays_of(packets, replay(place, 'rate = "10mbit", jitter = 0.001', packets))
    assert min(delays) == 48_000 and 1_000_000 < max(delays) <= 1_048_000
    binomial(delays.count(48_000), 5000, 0.5)


def test_rates_in_words(place):
    packets = [(0, packet(0, 100))]
    for rate, nanoseconds in (('"8kbit"', 10**8), ('"0.5 Mbit"', 1_600_000), ('"1gbit"', 800), ('"800bit"', 10**9),
                              ('"0.001tbit"', 800), ("4000", 200_000_000)):
        assert delays_of(packets, replay(place, "rate = " + rate, packets)) == [nanoseconds]


def test_duplicate(place):
    packets = evenly()
    got = replay(place, "duplicate = 0.02", packets)
    binomial(len(got) - COUNT, COUNT, 0.02)
    assert sorted(set(got)) == packets
    assert got == sorted(got)


def test_duplicates_are_delayed_and_lost_as_any_packet(place):
    packets = evenly()
    got = replay(place, "duplicate = 1, loss = 0.1, delay = 0.01, jitter = 0.005", packets)
    binomial(len(got), 2 * COUNT, 0.9)
    numbers = [0] * COUNT
    delays = []
    for time, data in got:
        i = number_of(data)
        assert data == packets[i][1]
        numbers[i] += 1
        delays.append(time - packets[i][0])
    chi_square([numbers.count(n) for n in (0, 1, 2)], [COUNT * c for c in (0.01, 0.18, 0.81)])
    kolmogorov_smirnov(delays, lambda v: min(max((v - 5e6) / 10e6, 0), 1))


def test_reorder(place):
    packets = evenly()
    delays = delays_of(packets, replay(place, "delay = 0.01, reorder = 0.05", packets))
    assert set(delays) == {0, 10_000_000}
    binomial(delays.count(0), COUNT, 0.05)
    geometric(runs([delay == 0 for delay in delays])[1], 0.05)


def test_corrupt(place):
    size = 60
    packets = evenly(size=size)
    got = replay(place, "corrupt = 0.2", packets)
    places = [0] * (size * 8)
    changed = 0
    assert [time for time, _ in got] == [time for time, _ in packets]
    for (_, before), (_, after) in zip(packets, got):
        if before == after:
            continue
        changed += 1
        difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
        assert difference & (difference - 1) == 0, (before, after)
        places[difference.bit_length() - 1] += 1
    binomial(changed, COUNT, 0.2)
    chi_square(places, [changed / len(places)] * len(places))


def test_corruption_of_one_copy_leaves_the_other(place):
    packets = evenly(10_000)
    got = replay(place, "duplicate = 1, corrupt = 0.5", packets)
    assert len(got) == 20_000
    clean = [0] * 10_000
    for time, data in got:
        i = time // 100_000
        clean[i] += data == packets[i][1]
    chi_square([clean.count(n) for n in (0, 1, 2)], [2500, 5000, 2500])


def test_limit(place):
    """What waits is counted, whoever else holds packets, and what leaves makes room."""
    burst = [(0, packet(i, 100)) for i in range(1500)] + [(10**6 * 1000, packet(1500 + i, 100)) for i in range(30)]
    got = replay(place, 'rate = "800kbit", limit = 20', burst)
    assert [number_of(data) for _, data in got] == [*range(20), *range(1500, 1520)]
    # One leaves a millisecond; another may come in from then on.
    steady = [(i * 430_000, packet(i, 100)) for i in range(100)]
    got = replay(place, 'rate = "800kbit", limit = 2', steady)
    free, waiting, expected = 0, [], []
    for time, data in steady:
        waiting = [due for due in waiting if due > time]
        if len(waiting) < 2:
            free = max(free, time) + 1_000_000
            waiting.append(free)
            expected.append((free, data))
    assert [data for _, data in got] == [data for _, data in expected] and 40 < len(got) < 60
    assert all(abs(a - b) <= 1 for (a, _), (b, _) in zip(got, expected))
    got = replay(place, "delay = 1", [(i, packet(i)) for i in range(1500)])
    assert [number_of(data) for _, data in got] == list(range(1000))


def test_limit_holds_for_duplicates(place):
    got = replay(place, "duplicate = 1, delay = 1, limit = 9", [(i, packet(i)) for i in range(20)])
    assert [number_of(data) for _, data in got] == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_limit_with_jitter(place):
    packets = evenly(5000)
    got = replay(place, "delay = 0.05, jitter = 0.05, limit = 300", packets)
    here = {number_of(data) for _, data in got}
    events = [(time, 1, number_of(data)) for time, data in got]
    delays = {number_of(data): time for time, data in got}
    waiting = set()
    refused = 0
    for time, data in packets:
        waiting = {i for i in waiting if delays[i] > time}
        i = number_of(data)
        if i in here:
            assert len(waiting) < 300
            waiting.add(i)
        else:
            refused += 1
            assert len(waiting) == 300
    assert refused > 500 and len(events) + refused == 5000


def test_all_together(place):
    packets = evenly()
    settings = ('delay = 0.05, jitter = 0.01, loss = 0.01, duplicate = 0.001, reorder = 0.01, corrupt = 0.0001, '
                'rate = "10mbit", limit = 1000')
    got = replay(place, settings, packets)
    binomial(len(got), COUNT, 0.99 * 1.001)
    assert [time for time, _ in got] == sorted(time for time, _ in got)


def test_a_seed_repeats_a_run(place):
    packets = evenly(2000)
    settings = 'delay = 0.05, jitter = 0.01, loss = 0.1, duplicate = 0.1, reorder = 0.1, corrupt = 0.1, rate = "10mbit"'
    first = replay(place, settings, packets)
    assert replay(place, settings, packets) == first
    assert replay(place, settings, packets, seed=SEED + 1) != first
    assert replay(place, settings, packets, seed=None) != replay(place, settings, packets, seed=None)


def test_other_chance_does_not_shift_it(place):
    """A direction's packets have the same fate whatever the other direction and the script do meanwhile."""
    given, got = place.path / "given.pcap", place.path / "got.pcap"
    fates = []
    for more in (0, 3):
        script = place.script("""
            local tf = require "tunfilter"
            local netem = require "tunfilter.netem"
            local one, other = netem{ loss = 0.5 }, netem{ loss = 0.5 }
            tf.on_packet(function(pkt)
               for _ = 1, %d do
                  tf.random()
                  other(pkt)
               end
               return one(pkt)
            end)""" % more)
        write(given, evenly(2000))
        done = harness.run(place, "replay", script, given, got, "--seed", SEED)
        assert done.returncode == 0 and "error" not in done.stderr, done.stderr
        fates.append(read(got))
    assert fates[0] == fates[1] and 800 < len(fates[0]) < 1200


def test_ping_sees_the_delay(place):
    script = place.script("""
        local tf = require "tunfilter"
        local netem = require "tunfilter.netem"
        tf.on_packet{ from = tf.left, name = "there", netem{ delay = 0.08 } }
        tf.on_packet{ from = tf.right, netem{ delay = 0.04, duplicate = 1 } }
    """)
    done = harness.run_lab(place, script, "ping", "-c", "3", "-i", "0.2", "right")
    assert "3 received" in done.stdout and "duplicates" in done.stdout, done.stdout + done.stderr
    times = [float(t) for t in re.findall(r"time=([\d.]+) ms", done.stdout)]
    assert len(times) >= 5 and min(times) >= 120, done.stdout
    assert re.search(r"rules\d+\.lua:5", done.stderr), done.stderr
