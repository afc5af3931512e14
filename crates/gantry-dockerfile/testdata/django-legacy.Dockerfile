from python:2.7
maintainer Some Body <some.body@example.com>
env PYTHONUNBUFFERED 1
run mkdir /code
workdir /code
add requirements.txt /code/
run pip install -r requirements.txt
add . /code/
volume /code/media
expose 8000
cmd python manage.py runserver 0.0.0.0:8000
