/// One call of a client, from the call to the return.
package struct Operation<Call: Sendable, Outcome: Sendable>: Sendable {
    package var client: ClientID
    package var call: Call
    /// nil: not known whether it happened: the client died, or an error says so. It may take effect at any time after the call, or never.
    package var outcome: Outcome?
    package var called: Moment
    /// nil exactly where `outcome` is.
    package var returned: Moment?

    package init(client: ClientID, call: Call, outcome: Outcome?, called: Moment, returned: Moment?) {
        self.client = client
        self.call = call
        self.outcome = outcome
        self.called = called
        self.returned = outcome == nil ? nil : returned
    }
}
