from tests.naive._vectors import bets, whitening

twin = bets(lambda sample: lambda z: z @ whitening(sample))
