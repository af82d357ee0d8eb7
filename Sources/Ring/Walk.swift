/// The walk clockwise from a token that finds an arc's replicas. Keeps its working memory between walks.
struct Walk {
    private let zones: [Int]
    private let zoneCount: Int
    private let replicas: Int
    private var seenMember: [Int]
    private var seenZone: [Int]
    /// Marks of earlier walks are below this.
    private var mark = 0

    init(memberCount: Int, zones: [Int], replicas: Int) {
        self.zones = zones
        zoneCount = Set(zones).count
        self.replicas = replicas
        seenMember = Array(repeating: 0, count: memberCount)
        seenZone = Array(repeating: 0, count: zoneCount)
    }

    /// Indices of members: the first of each zone in order of the walk, then, if zones run out, the others in that order.
    mutating func replicas(from start: Int, owners: [Int]) -> [Int] {
        mark += 1
        var chosen: [Int] = []
        var spare: [Int] = []
        let fromZones = min(replicas, zoneCount)
        for step in 0..<owners.count {
            if chosen.count == fromZones, chosen.count + spare.count >= replicas { break }
            let position = start + step
            let member = owners[position < owners.count ? position : position - owners.count]
            guard seenMember[member] != mark else { continue }
            seenMember[member] = mark
            if chosen.count < fromZones, seenZone[zones[member]] != mark {
                seenZone[zones[member]] = mark
                chosen.append(member)
            } else {
                spare.append(member)
            }
        }
        return chosen + spare.prefix(replicas - chosen.count)
    }
}
