"""AWS: packages in S3 (``s3.py``), the index in DynamoDB (``dynamodb.py``)."""
