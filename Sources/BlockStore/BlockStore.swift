// BlockStore
