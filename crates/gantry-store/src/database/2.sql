-- Indexes: images of several platforms under one name. Only members that are images of the store
-- have a row, and only as long as the index has a name: a tag, or a repository digest.
CREATE TABLE index_images (
    index_digest BLOB NOT NULL,
    -- Digest of the member's manifest, and which entry of the index it is.
    manifest     BLOB NOT NULL,
    position     INTEGER NOT NULL,
    platform     TEXT NOT NULL,
    -- How well the member serves this machine: less is better, 255 not at all.
    rank         INTEGER NOT NULL,
    image        BLOB NOT NULL,
    PRIMARY KEY (index_digest, manifest)
) WITHOUT ROWID;
CREATE INDEX index_images_by_image ON index_images (image);

-- The index that a tag names; `image` is then the member that serves this machine best.
ALTER TABLE tags ADD COLUMN index_digest BLOB;
CREATE INDEX tags_by_index ON tags (index_digest) WHERE index_digest IS NOT NULL;
