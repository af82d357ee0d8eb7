/// One call of a client, from the call to the return.
package struct Operation<Call: Sendable, Outcome: Sendable>: Sendable {
    package var client: ClientID
    package var call: Call
    /// nil: not known whether it happened: the client died, or an error says so. It may take effect at any time after the call, or never.
    package var outcome: Outcome?
    package var called: Moment
    /// nil exactly where `outcome` is.
    package var returned: Moment?
    /// Of one that its caller was told of and that may have been lost all the same: which loss that was, and when it was told. What was told before another one of
    /// the same loss was called has happened if that has: what is lost is the end.
    package var lost: (loss: Int, told: Moment)?

    package init(client: ClientID, call: Call, outcome: Outcome?, called: Moment, returned: Moment?, lost: (loss: Int, told: Moment)? = nil) {
        self.lost = lost
        self.client = client
        self.call = call
        self.outcome = outcome
        self.called = called
        self.returned = outcome == nil ? nil : returned
    }
}
