package import Blocks
package import Filesystem
package import Runtime

/// A client that starts after all others have ended or come to rest, with all faults healed.
@LoopActor
package struct FinalReader {
    package let files: any FileOperations
    package let blocks: (any BlockClient)?
    package let client: ClientID

    package init(files: any FileOperations, blocks: (any BlockClient)?, client: ClientID) {
        self.files = files
        self.blocks = blocks
        self.client = client
    }
}
