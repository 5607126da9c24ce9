package podlog

// maxBlock is the size of a block before compression, in bytes. A small log has blocks of an eighth of its limit.
const maxBlock = 128 << 10

// Block is a part of a log.
type Block struct {
	Size int    // before compression
	Gzip []byte // one gzip member
}

// blockStore stores the head and the tail of a log in blocks.
type blockStore struct {
	budget               *Share
	blockSize            int
	headLimit, tailLimit int64 // before compression

	head, tail         []Block
	headSize, tailSize int64
	isHeadFull         bool
	current            []byte // the block that is being filled

	omitted int64
	isShort bool
}

func newBlockStore(limit int64, budget *Share) blockStore {
	blockSize := int(max(1, min(maxBlock, limit/8)))
	return blockStore{budget: budget, blockSize: blockSize, headLimit: limit / 2, tailLimit: limit - limit/2}
}

// add adds content to the current block and begins further blocks as needed.
func (b *blockStore) add(content []byte) {
	for len(content) > 0 {
		room := b.blockSize - len(b.current)
		if !b.isHeadFull {
			room = int(min(int64(room), b.headLimit-b.headSize-int64(len(b.current))))
		}
		n := min(room, len(content))
		b.current = append(b.current, content[:n]...)
		content = content[n:]
		if n == room {
			b.seal()
		}
	}
}

// seal compresses the current block and appends it to the head, or to the tail once the head is full. The tail then
// drops its oldest blocks until it is within its limit and the budget.
func (b *blockStore) seal() {
	if !b.isHeadFull && b.headSize+int64(len(b.current)) >= b.headLimit {
		defer func() { b.isHeadFull = true }()
	}
	if len(b.current) == 0 {
		return
	}
	block := Block{Size: len(b.current), Gzip: compress(b.current)}
	b.current = b.current[:0]
	if isFirst := len(b.head) == 0 && !b.isHeadFull; !b.budget.take(len(block.Gzip), isFirst) {
		b.isHeadFull, b.isShort = true, true
		for !b.budget.take(len(block.Gzip), len(b.tail) == 0) {
			b.dropOldest()
		}
	}
	if !b.isHeadFull {
		b.head, b.headSize = append(b.head, block), b.headSize+int64(block.Size)
		return
	}
	b.tail, b.tailSize = append(b.tail, block), b.tailSize+int64(block.Size)
	for b.tailSize > b.tailLimit {
		b.dropOldest()
	}
}

// finish seals the last block and frees the memory in which it was filled.
func (b *blockStore) finish() {
	b.seal()
	b.current = nil
}

// dropOldest omits the oldest block of the tail.
func (b *blockStore) dropOldest() {
	oldest := b.tail[0]
	b.tail[0] = Block{}
	b.tail, b.tailSize, b.omitted = b.tail[1:], b.tailSize-int64(oldest.Size), b.omitted+int64(oldest.Size)
	b.budget.giveBack(len(oldest.Gzip))
}

// release gives the memory of all blocks back to the budget.
func (b *blockStore) release() {
	for _, block := range append(b.head, b.tail...) {
		b.budget.giveBack(len(block.Gzip))
	}
	b.head, b.tail, b.current = nil, nil, nil
}
