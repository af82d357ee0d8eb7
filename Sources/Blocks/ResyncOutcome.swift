/// How an attempt at a `ResyncTask` ended.
package enum ResyncOutcome: Sendable, Equatable {
    /// The copy is where it should be, or is not needed any more.
    case done
    /// To be tried again later.
    case failed(String)
}
