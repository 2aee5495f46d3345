"""Which bucket a table is the index of: else a typing error in one of the two names would empty an index.

::

    pk      sk       holds
    #store  #bucket  bucket
"""

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.table import Item, Table, aliases

STORE = {"pk": {"S": "#store"}, "sk": {"S": "#bucket"}}


def claim(table: Table, bucket: str, moved_from: str) -> None:
    """The table belongs to this bucket from now on, if it belonged to none yet, or to ``moved_from``.

    :class:`ConfigurationError` if it belongs to another one. One read, and nothing more from the second time on.
    """
    if (owner := _owner(table)) is None:
        try:
            return _write(table, bucket, "attribute_not_exists(#bucket)", {})
        except Conflict:
            if (owner := _owner(table)) is None:
                raise
    if owner == bucket:
        return
    if owner != moved_from:
        raise ConfigurationError(
            f"The table {table.name!r} belongs to the bucket {owner!r}, not to {bucket!r}: set BUCKET={owner}, or, if "
            f"its packages were copied, run `elasticpypi reindex --move-from {owner}`."
        )
    _write(table, bucket, "#bucket = :owner", {":owner": {"S": owner}})


def _owner(table: Table) -> str | None:
    item = table.item(STORE)
    return item["bucket"]["S"] if item else None


def _write(table: Table, bucket: str, condition: str, values: Item) -> None:
    put: Item = {
        "Item": {**STORE, "bucket": {"S": bucket}},
        "ConditionExpression": condition,
        "ExpressionAttributeNames": aliases("bucket"),
        **({"ExpressionAttributeValues": values} if values else {}),
    }
    table.write([{"Put": put}])
