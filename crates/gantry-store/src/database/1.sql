-- Digests are 32-byte blobs; times are seconds since 1970.

CREATE TABLE layers (
    diff_id    BLOB PRIMARY KEY,
    tar_size   INTEGER NOT NULL,
    content_size INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    disk_usage INTEGER NOT NULL,
    flags      INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    -- The boot in which the layer was written, until it is known to be on the disk: after a
    -- power cut in between, the row of an older boot does not count.
    boot       TEXT
) WITHOUT ROWID;

-- The compressed forms in which a layer is known to exist.
CREATE TABLE layer_blobs (
    digest     BLOB PRIMARY KEY,
    diff_id    BLOB NOT NULL,
    size       INTEGER NOT NULL,
    media_type TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX layer_blobs_by_layer ON layer_blobs (diff_id);

-- The repositories (registry/path) which are known to hold a compressed layer.
CREATE TABLE layer_sources (
    digest     BLOB NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (digest, repository)
) WITHOUT ROWID;

CREATE TABLE images (
    id      BLOB PRIMARY KEY,
    created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE image_layers (
    image    BLOB NOT NULL,
    position INTEGER NOT NULL,
    diff_id  BLOB NOT NULL,
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers (diff_id);

-- Manifests and indexes that came with an image.
CREATE TABLE image_blobs (
    image  BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (image, digest)
) WITHOUT ROWID;

CREATE TABLE tags (
    reference TEXT PRIMARY KEY,
    image     BLOB NOT NULL,
    updated   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tags_by_image ON tags (image);

-- repository@digest names of an image.
CREATE TABLE repo_digests (
    repository TEXT NOT NULL,
    digest     BLOB NOT NULL,
    media_type TEXT NOT NULL,
    image      BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX repo_digests_by_image ON repo_digests (image);

CREATE TABLE records (
    kind      TEXT NOT NULL,
    key       BLOB NOT NULL,
    value     BLOB NOT NULL,
    created   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    uses      INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE TABLE record_layers (
    kind    TEXT NOT NULL,
    key     BLOB NOT NULL,
    diff_id BLOB NOT NULL,
    PRIMARY KEY (kind, key, diff_id)
) WITHOUT ROWID;
CREATE INDEX record_layers_by_layer ON record_layers (diff_id);

CREATE TABLE record_blobs (
    kind   TEXT NOT NULL,
    key    BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (kind, key, digest)
) WITHOUT ROWID;
