import Model
package import OrderedStore

extension Namespace {
    /// Answers from `reader`, which holds the rows of a namespace. Any thread, if the reader allows it.
    package static func answer(_ query: Query, from reader: any OrderedReader) throws(StoreError) -> Answer {
        let rows = Rows(reader)
        do throws(Failure) {
            return try QueryEvaluation(rows: rows).answer(query)
        } catch {
            switch error {
            case .refused(let reason): return .failed(reason)
            case .store(let error): throw error
            }
        }
    }
}
