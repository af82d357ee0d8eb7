/// Randomness, as the layers above see it. In a simulator it comes from the seed.
@LoopActor
package protocol RandomSource: AnyObject, Sendable {
    /// 64 uniformly distributed bits. The real source is good enough for keys (getrandom(2)).
    func next() -> UInt64
}
